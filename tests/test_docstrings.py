# SPDX-License-Identifier: BSD-3-Clause
"""The examples of every docstring and document print what they say; every public name has one."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import fastdrop

ROOT = Path(__file__).parents[1]
# Modules that only say where their names are now.
GONE = {"fastdrop.reference_noise"}
# Modules for arrays of other libraries, which need not be installed. host_tests/ runs their examples.
ADAPTERS = {f"fastdrop.{host}" for host in ("autograd", "dask", "jax", "keras", "mpi", "thinc", "torch")}


def is_adapter(name):
    return ".".join(name.split(".")[:2]) in ADAPTERS


# Every other module there is: a new one cannot be left out.
FOUND = {module.name for module in pkgutil.walk_packages(fastdrop.__path__, "fastdrop.")}
MODULES = ["fastdrop", *sorted(name for name in FOUND - GONE if not is_adapter(name))]
PUBLIC = {name: getattr(fastdrop, name) for name in fastdrop.__all__}
DOCUMENTED = {name for name, thing in PUBLIC.items() if inspect.isclass(thing) or inspect.isfunction(thing)}


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_print_what_they_say(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_every_public_name_has_a_docstring_with_an_example(name):
    """Of a class, its methods' count too."""
    assert PUBLIC[name].__doc__
    examples = [
        example for test in doctest.DocTestFinder().find(PUBLIC[name], name) for example in test.examples
    ]
    assert examples


def test_the_walk_finds_the_modules_of_every_folder():
    """A test of the test: a module for every file."""
    package = Path(fastdrop.__file__).parent
    paths = (path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py"))
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    assert {name for name in names if not is_adapter(name)} <= {*MODULES, *GONE}


def python_blocks(document):
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def test_the_code_in_the_readme_runs():
    """Its last line applies the shard in place, so zeros are where that shard drops."""
    (code,) = python_blocks("README.md")
    names = {}
    exec(code, names)
    assert ((names["x"] == 0) == ~names["shard"].to_numpy()).all()


def test_the_code_in_the_document_of_scaling_runs():
    """It simulates 1,024 workers, with the assertions that it has itself."""
    names = {}
    for code in python_blocks("docs/scaling.md"):
        exec(code, names)
    assert len(names["windows"]) == 1024


def test_the_code_in_the_document_of_fused_operations_runs():
    """In the order of the document, with the assertions that it has itself."""
    names = {}
    for code in python_blocks("docs/fused.md"):
        exec(code, names)
    assert sorted(names["layer"].gradients) == ["bias", "weight", "x_bias"]
    assert len(names["parts"]) == 4


def test_the_code_in_the_document_of_attention_runs():
    """In the order of the document, with the assertions that it has itself."""
    names = {}
    for code in python_blocks("docs/attention.md"):
        exec(code, names)
    assert all(
        part.any() for part in names["gradients"].transpose(2, 0, 1, 3, 4)
    )  # of queries, keys and values


def test_the_code_in_the_document_of_kinds_runs(tmp_path, monkeypatch):
    """In the order of the document, with the assertions that it has itself."""
    blocks = python_blocks("docs/kinds.md")
    monkeypatch.chdir(tmp_path)  # it writes a checkpoint
    assert len(blocks) >= 9
    names = {}
    for code in blocks:
        exec(code, names)
    assert names["result"].entropy.shape == (8,)
    assert abs(names["d_scores"].sum(axis=-1)).max() < 1e-4  # softmax does not see a shift of the scores
