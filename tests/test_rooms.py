# SPDX-License-Identifier: BSD-3-Clause
"""The rooms of the Python package: who may import whom, whose names are private, and what is public."""

import ast
import importlib
from pathlib import Path

import pytest

import fastdrop
from refusal import refuse

PACKAGE = Path(__file__).parents[1] / "python" / "fastdrop"

# Which module may import which of the package's others. A folder stands for all of its files. A module stands
# below those that it imports, so that no arrow runs back up.
BASE = {"_checks", "_core", "_keys", "_states", "_values", "_windows"}
PYTHON_ARROWS = {
    "_remedies": set(),
    "_texts": set(),
    "_checks": {"_core", "_remedies", "_texts"},
    "_no_array": set(),
    "_windows": {"_checks"},
    "_keys": {"_checks", "_core", "_remedies"},
    "_values": {"_checks", "_core", "_windows"},
    "_states": {"_checks", "_core", "_keys", "_no_array", "_values", "_windows"},
    "_stored": {"_checks", "_core", "_states", "_values", "_windows"},
    "_outputs": {"_checks"},
    "_operations": {"_checks", "_core", "_outputs"},
    "mask": BASE | {"_operations", "_stored"},
    "_saving": {"_checks", "_texts"},
    "mask_generator": BASE | {"_saving", "mask"},
    "functional": {"_checks", "_core", "_values", "_states", "_windows", "mask", "mask_generator"},
    "_keywords": {"functional"},
    "_options": {"_checks"},
    "_layer": {"_checks", "_core", "_keywords", "_options", "_saving", "_values", "functional"}
    | {"mask", "mask_generator"},
    "layers": {"_checks", "_layer", "_options", "_values", "_windows", "functional", "mask_generator"},
    "kinds/_noise_shapes": {"_checks"},
    "kinds/_parameters": {"_checks"},
    "kinds/_feature_maps": {"_checks", "_layer", "_options"},
    "kinds/": BASE - {"_values"}
    | {"_keywords", "_layer", "_operations", "_options", "functional", "layers", "mask", "mask_generator"}
    | {"kinds/_feature_maps", "kinds/_noise_shapes", "kinds/_parameters"},
    "kinds/__init__": {"kinds"},
    "fused/_names": {"_checks"},
    "fused/_rows": {"_checks", "_core", "_operations", "_outputs"},
    "fused/_masks": {"_checks", "_states", "_values", "_windows", "mask", "mask_generator"},
    "fused/_saved": {"_checks", "_outputs", "mask"},
    "fused/_normalize": {"_checks", "_core", "mask", "fused/_masks", "fused/_rows", "fused/_saved"},
    "fused/sums": {"_checks"},
    "fused/activations": {"_checks", "_core", "mask", "fused/_masks", "fused/_names", "fused/_rows"}
    | {"fused/_saved"},
    "fused/bias_dropout_add": {"_checks", "_core", "_windows", "mask", "mask_generator"}
    | {"fused/_masks", "fused/_names", "fused/_rows", "fused/_saved"},
    "fused/layer_norm": {"_checks", "_core", "_windows", "mask", "mask_generator"}
    | {"fused/_masks", "fused/_normalize", "fused/_rows", "fused/_saved"},
    "fused/rms_norm": {"_checks", "_core", "_windows", "mask", "mask_generator"}
    | {"fused/_masks", "fused/_normalize", "fused/_rows", "fused/_saved"},
    "fused/_parameters": {"_checks", "_layer", "_saving", "mask_generator"},
    "fused/bias_layer": {"_checks", "_options", "mask_generator", "fused/_names", "fused/_parameters"}
    | {"fused/_rows", "fused/_saved", "fused/bias_dropout_add"},
    "fused/_norm_layer": {"_checks", "_options", "fused/_normalize", "fused/_parameters"},
    "fused/norm_layers": {"_checks", "mask_generator", "fused/_norm_layer", "fused/_normalize"}
    | {"fused/_parameters", "fused/layer_norm", "fused/rms_norm"},
    "fused/plain_norm_layers": {"_checks", "_options", "fused/_norm_layer", "fused/_normalize"}
    | {"fused/_parameters", "fused/layer_norm", "fused/rms_norm"},
    "fused/_attn_mask": {"_checks"},
    "fused/softmax_dropout": {"_checks", "_core", "_windows", "mask", "mask_generator"}
    | {"fused/_attn_mask", "fused/_masks", "fused/_rows", "fused/_saved"},
    "fused/softmax": {
        "_checks",
        "_core",
        "_operations",
        "mask",
        "fused/_masks",
        "fused/_rows",
        "fused/_saved",
    },
    "fused/_attention_blocks": {"_checks", "_core", "mask", "fused/_saved"},
    "fused/attention": {"_checks", "_operations", "_outputs", "mask", "mask_generator"}
    | {"fused/_attention_blocks", "fused/_attn_mask", "fused/_masks", "fused/_rows", "fused/_saved"},
    "fused/attention_layer": {"_checks", "_layer", "_options", "mask_generator"}
    | {"fused/_saved", "fused/attention"},
    "fused/__init__": {"fused"},
    "training/_layers": {"_checks", "_layer", "mask_generator"},
    "training/layer_list": {"_checks", "_layer", "_saving", "training/_layers"},
    "training/monte_carlo": {"_checks", "_layer", "_texts", "mask_generator", "training/_layers"},
    "training/schedules": {"_checks", "_core", "_layer", "_saving", "training/_layers"},
    "training/__init__": {"training"},
    "reference/operations": set(),  # the judge stands alone
    "reference/_piecewise_tables": set(),
    "reference/functions": {"reference/_piecewise_tables"},
    "reference/sums": set(),
    "reference/logarithm": set(),
    "reference/softmax": {"reference/functions", "reference/logarithm", "reference/operations"}
    | {"reference/sums"},
    "reference/fused": {"reference/functions", "reference/operations", "reference/softmax", "reference/sums"},
    "reference/dropout": {"reference/operations"},
    "reference/noise": {"reference/dropout", "reference/operations"},
    "reference/__init__": {"reference"},
    "_installation": set(),  # works if files of the package are missing
    "config": {"_checks", "_core", "_installation"},
    "reference_noise": set(),  # says that it is gone
    "__init__": {"_core", "_installation", "_layer", "config", "functional", "fused", "kinds", "layers"}
    | {"mask", "mask_generator", "reference", "training"},
    # Modules for arrays of other libraries: nobody imports them but their users.
    "torch/_internals": set(),
    "torch/_memory": {"_checks", "_core", "_values", "torch/_internals"},
    "torch/_operators": {"_core", "_states", "torch/_internals", "torch/_memory"},
    "torch/_apply": {"_checks", "_core", "_values", "_windows", "mask"}
    | {"torch/_internals", "torch/_memory", "torch/_operators"},
    "torch/masks": {"_checks", "_core", "_states", "_values", "_windows", "mask", "mask_generator"}
    | {"torch/_apply", "torch/_internals", "torch/_memory", "torch/_operators"},
    "torch/functional": {"_checks", "_values", "_windows", "kinds", "mask_generator"}
    | {"torch/_apply", "torch/_memory", "torch/masks"},
    "torch/_rows": {"_core", "_values", "torch/_memory"},
    "torch/_fused_operators": {"_core", "_states", "_values", "torch/_internals", "torch/_memory"}
    | {"torch/_operators", "torch/_rows"},
    "torch/_fused_apply": {"_checks", "_core", "_values", "_windows", "fused", "mask", "mask_generator"}
    | {"torch/_fused_operators", "torch/_internals", "torch/_memory", "torch/_operators", "torch/_rows"}
    | {"torch/functional", "torch/masks"},
    "torch/fused": {"_checks", "_windows", "fused", "mask", "mask_generator", "torch/_fused_apply"}
    | {"torch/_rows"},
    "torch/fused_modules": {"_checks", "fused", "mask_generator", "torch/fused", "torch/masks"},
    "torch/_attention_blocks": {"_core", "_states", "_values", "fused", "torch/_memory", "torch/_rows"},
    "torch/_attention_composed": {"torch/_internals"},
    "torch/_attend": {"torch/_apply", "torch/_attention_blocks", "torch/_attention_composed"}
    | {"torch/_internals", "torch/_memory"},
    "torch/_attention": {"_checks", "_values", "torch/_attend", "torch/_attention_blocks"}
    | {"torch/_attention_composed", "torch/_internals", "torch/_memory", "torch/_operators"}
    | {"torch/functional"},
    "torch/_hugging_face": {"_checks", "torch/_attention"},
    "torch/_functional_mode": {"torch/_attention", "torch/_internals", "torch/functional"},
    "torch/modules": {"_checks", "mask_generator", "torch/_attention", "torch/_internals"}
    | {"torch/functional", "torch/masks"},
    "torch/_replace": {"_checks", "torch/modules"},
    "torch/__init__": {"_installation", "torch"},
    "dask": {"_checks", "_installation", "_keys", "_states", "_windows", "mask"},
    "mpi": {"_checks", "mask"},  # whose host its user imports
    "jax/_operator": {"_core"},
    "jax/functional": {"_checks", "_keys", "_states", "_windows", "jax/_operator", "mask"},
    "jax/__init__": {"_installation", "jax"},
    "autograd": {"_checks", "_installation", "_states", "kinds", "mask"},
    "thinc": {"_checks", "_installation", "mask", "mask_generator"},
    "keras/_masks": {"_keys", "_windows", "mask"},
    "keras/": {"_checks", "_installation", "_windows", "jax", "keras/_masks", "mask", "torch"},
    "selftest": {"__init__"},
    "bench/": {"__init__"},  # and its own files
    "__main__": {"__init__", "_installation", "bench", "selftest"},
}
MODULES = {str(path.relative_to(PACKAGE).with_suffix("")): path for path in PACKAGE.rglob("*.py")}


def imported(path):
    """The modules of fastdrop that one of its files imports, as their paths in the package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1]
            names = [node.module.replace(".", "/")] if node.module else [alias.name for alias in node.names]
            yield from (str((folder / name).relative_to(PACKAGE)) for name in names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            dotted = (name.split(".") for name in names)
            yield from ("/".join(rest) or "__init__" for root, *rest in dotted if root == "fastdrop")


def entry(module):
    """The row of the table that rules a module: its own, or that of its folder, which rules new files too."""
    return module if module in PYTHON_ARROWS else module.split("/")[0] + "/"


def with_folder(name):
    return {name, name.split("/")[0]}


def test_every_python_module_is_in_the_table_of_arrows():
    assert {entry(module) for module in MODULES} == set(PYTHON_ARROWS)


def test_no_arrow_of_the_table_runs_back_up():
    """No circle is allowed, whatever the modules import. `_core` is compiled: it imports none of them."""
    rows = list(PYTHON_ARROWS)
    for number, row in enumerate(rows):
        below = {"_core"}.union(*map(with_folder, rows[:number]))
        unfinished = {name.split("/")[0] for name in rows[number + 1 :] if "/" in name}
        assert PYTHON_ARROWS[row] <= below - unfinished, row


@pytest.mark.parametrize("module", MODULES)
def test_python_arrows(module):
    allowed = PYTHON_ARROWS[entry(module)]
    for name in imported(MODULES[module]):
        if not name.startswith("bench/") or not module.startswith("bench/"):
            assert with_folder(name) & allowed, f"{module} must not import {name}"


@pytest.mark.parametrize("row", PYTHON_ARROWS)
def test_every_arrow_of_the_table_is_used(row):
    paths = [path for module, path in MODULES.items() if entry(module) == row]
    used = set().union(*(with_folder(name) for path in paths for name in imported(path)))
    assert PYTHON_ARROWS[row] <= used


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def foreign_private_names(path):
    """The names with one leading underscore that a file uses and another file defines."""
    tree = ast.parse(path.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    stored = {node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_own_object(node)}
    own |= {node.attr for node in stored if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").rsplit(".")[-1] != "_core":
            modules = {Path(name).name for name in MODULES} | {"_core"}
            yield from (a.name for a in node.names if is_private(a.name) and a.name not in modules)
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own_object(node):
            yield from {node.attr} - own


def is_own_object(attribute):
    return isinstance(attribute.value, ast.Name) and attribute.value.id in {"self", "cls"}


# What stands between fastdrop and the private names of another library.
OF_OTHERS = {"torch/_internals"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - OF_OTHERS))
def test_no_module_uses_a_private_name_of_another(module):
    assert set(foreign_private_names(MODULES[module])) == set()


def test_the_guard_of_private_names_sees_them(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "from . import _checks\n"
        "from ._checks import _hidden\n"
        "from .mask import Mask\n"
        "class Own:\n"
        "    def __init__(self, mask: Mask):\n"
        "        self._mask, self._other = mask, Own(mask)._mask\n"
        "        mask._state, _checks._limit, self.mask._state\n"
        "def _helper(): ...\n"
    )
    assert sorted(foreign_private_names(path)) == ["_hidden", "_limit", "_state", "_state"]


@pytest.mark.parametrize("name", ["", ".fused", ".kinds", ".training", ".reference"])
def test_packages_show_their_public_names_only(name):
    package = importlib.import_module("fastdrop" + name)
    assert dir(package) == sorted(package.__all__)
    assert not [name for name in dir(package) if is_private(name)]
    assert all(hasattr(package, name) for name in package.__all__)


def test_the_reference_has_every_public_name_of_its_parts():
    names = ("dropout", "functions", "fused", "logarithm", "noise", "operations", "softmax", "sums")
    parts = [importlib.import_module(f"fastdrop.reference.{name}") for name in names]
    assert {name for part in parts for name in part.__all__} == set(fastdrop.reference.__all__)
    for part in parts:
        assert all(getattr(fastdrop.reference, name) is getattr(part, name) for name in part.__all__)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import fastdrop\nfastdrop.reference_noise", AttributeError),
        ("import fastdrop.reference_noise", ImportError),
        ("from fastdrop import reference_noise", ImportError),
        ("from fastdrop.reference_noise import normals", ImportError),
    ],
)
def test_a_name_that_is_gone_says_where_it_is_now(code, error):
    refuse(lambda: exec(code, {}), error, "fastdrop.reference_noise is now a part of fastdrop.reference")


def test_a_name_that_never_was():
    with pytest.raises(AttributeError, match="module 'fastdrop' has no attribute 'no_such_name'"):
        fastdrop.no_such_name  # noqa: B018
    assert not hasattr(fastdrop, "reference_noise")
