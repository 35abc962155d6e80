# SPDX-License-Identifier: BSD-3-Clause
"""thinc's layer fastdrop.Dropout.v1: masks are NumPy's, and everything else is as in thinc's Dropout.v1."""

import copy
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import thinc.api
from thinc.api import Config, Linear, Relu, chain, fix_random_seed, list2padded, registry
from thinc.types import Padded, Ragged

import fastdrop
from fastdrop import reference
from fastdrop.thinc import Dropout
from refusal import refuse

X = np.random.default_rng(0).standard_normal((6, 5), dtype=np.float32)
DY = np.random.default_rng(1).standard_normal((6, 5), dtype=np.float32)
LENGTHS = np.array([1, 1, 4], np.int32)
PARTS = [X[:1], X[1:2], X[2:]]
PADDED = list2padded().predict(PARTS)
INPUTS = {
    "array": X,
    "one axis": X[0],
    "four axes": X.reshape(1, 2, 3, 5),
    "Fortran order": np.asfortranarray(X),
    "float64": X.astype(np.float64),
    "float16": X.astype(np.float16),
    "Ragged": Ragged(X, LENGTHS),
    "Padded": PADDED,
    "list": PARTS,
    "tuple": tuple(PARTS),
    "empty list": [],
    "empty array": X[:0],
}


def arrays(x):
    if isinstance(x, (list, tuple)):
        return list(x)
    return [x.data if isinstance(x, (Ragged, Padded)) else x]


def rest(x):
    """What a Ragged or a Padded has besides its data."""
    if isinstance(x, Ragged):
        return [x.lengths]
    return [x.size_at_t, x.lengths, x.indices] if isinstance(x, Padded) else []


def assert_same_bits(given, expected):
    assert [part.tobytes() for part in given] == [part.tobytes() for part in expected]
    assert [(part.shape, part.dtype) for part in given] == [(part.shape, part.dtype) for part in expected]


@pytest.mark.parametrize("name", INPUTS)
def test_a_step_is_that_of_numpys_masks_and_of_the_reference(name):
    x, layer, masks = INPUTS[name], Dropout(0.4, seed=7), fastdrop.MaskGenerator(7)
    y, backprop = layer(x, is_train=True)
    dx = backprop(y)
    drawn = [masks.mask(part.shape, 0.4) for part in arrays(x)]
    slow = [reference.Mask(mask.shape, 0.4, key=mask.key, stream=mask.stream) for mask in drawn]
    for by in (drawn, slow):
        assert_same_bits(arrays(y), [m.apply(part) for m, part in zip(by, arrays(x), strict=True)])
        assert_same_bits(arrays(dx), [m.apply(part) for m, part in zip(by, arrays(y), strict=True)])
    assert all(np.array_equal(a, b) for a, b in zip(rest(y), rest(x), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(rest(dx), rest(x), strict=True))


@pytest.mark.parametrize("name", INPUTS)
def test_types_are_those_that_thincs_own_layer_returns(name):
    theirs, their_backprop = thinc.api.Dropout(0.4)(INPUTS[name], is_train=True)
    ours, backprop = Dropout(0.4)(INPUTS[name], is_train=True)
    assert type(ours) is type(theirs)
    assert type(backprop(ours)) is type(their_backprop(theirs))
    assert [part.shape for part in arrays(ours)] == [part.shape for part in arrays(theirs)]


def test_inputs_stay_as_they_are():
    before = X.copy()
    y, backprop = Dropout(0.4)(X, is_train=True)
    dx = backprop(DY)
    assert (before == X).all()
    assert not any(np.shares_memory(a, b) for a, b in [(X, y), (DY, dx), (y, dx)])


@pytest.mark.parametrize("x", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize(
    ("attrs", "is_train"),
    [({}, False), ({"is_enabled": False}, True), ({"dropout_rate": 0}, True), ({"dropout_rate": 0.0}, True)],
)
def test_without_dropout_everything_passes_as_it_is(x, attrs, is_train):
    layer = Dropout(0.4, seed=0)
    layer.attrs.update(attrs)
    y, backprop = layer(x, is_train=is_train)
    assert y is x
    assert backprop(x) is x
    assert layer.attrs["masks"].state["stream"] == 0
    assert layer.predict(x) is x


def test_the_rate_is_set_by_set_dropout_rate():
    layer = chain(Linear(5, 5), Dropout(seed=1))
    assert layer.layers[1].attrs["dropout_rate"] == 0.0
    thinc.api.set_dropout_rate(layer, 1.0)
    layer.initialize()
    y, backprop = layer(X, is_train=True)
    assert y.tobytes() == bytes(X.nbytes)  # +0.0 everywhere, where thinc's own divides by 0
    assert backprop(DY).tobytes() == bytes(X.nbytes)


def test_the_gradient_of_a_model_is_the_numerical_one():
    """The model is linear, its numbers are small integers and the scale is 2: so both are exact."""
    integers = np.random.default_rng(5)
    x = integers.integers(-9, 10, (6, 5)).astype(np.float64)
    model = chain(Linear(5, 5), Dropout(0.5, seed=3), Linear(2, 5))
    model.initialize()
    for node in model.walk():
        for name in node.param_names:
            node.set_param(name, integers.integers(-9, 10, node.get_param(name).shape).astype(np.float64))

    def loss(x):
        model.layers[1].attrs["masks"] = fastdrop.MaskGenerator(3)  # the same mask again
        y, backprop = model(x, is_train=True)
        return y.sum(), backprop

    total, backprop = loss(x)
    gradient = backprop(np.ones((6, 2)))
    assert np.count_nonzero(gradient) > 20
    for place in np.ndindex(x.shape):
        moved = x.copy()
        moved[place] += 1
        assert loss(moved)[0] - total == gradient[place]


CONFIG = """
[model]
@layers = "chain.v1"

[model.*.hidden]
@layers = "Relu.v1"
nI = 5
nO = 5

[model.*.dropout]
@layers = "fastdrop.Dropout.v1"
rate = 0.4
seed = [0, 1]
"""


def from_config(text=CONFIG):
    model = registry.resolve(Config().from_str(text))["model"]
    model.initialize()
    return model


def test_a_config_names_the_layer():
    model = from_config()
    y, _ = model(X, is_train=True)
    mask = fastdrop.Mask(X.shape, 0.4, seed=[0, 1])
    assert y.tobytes() == mask.apply(model.predict(X)).tobytes()
    again = Config().from_str(Config().from_str(CONFIG).to_str())
    assert registry.resolve(again)["model"].layers[1].attrs["dropout_rate"] == 0.4


def test_a_config_with_a_seed_that_is_none_is_refused():
    with pytest.raises(thinc.api.ConfigValidationError, match="seed"):
        from_config(CONFIG.replace("[0, 1]", '"x"'))


def test_a_config_finds_the_layer_of_an_installed_fastdrop_that_nobody_has_imported(tmp_path):
    """By the entry point, which stands here as an installer writes it."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    installed = tmp_path / "installed-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    points = (f"{name} = {target}\n" for name, target in project["entry-points"]["thinc_layers"].items())
    (installed / "entry_points.txt").write_text("[thinc_layers]\n" + "".join(points))
    code = (
        "from thinc.api import registry; import sys; assert 'fastdrop' not in sys.modules;"
        "print(registry.layers.get('fastdrop.Dropout.v1').__module__)"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(fastdrop.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "fastdrop.thinc", done.stderr


def steps(model, count):
    return [model(X, is_train=True)[0].tobytes() for _ in range(count)]


def test_a_saved_model_goes_on_where_it_was(tmp_path):
    model = from_config()
    first = steps(model, 3)
    model.to_disk(tmp_path / "model")
    saved = model.to_bytes()
    following = steps(model, 2)
    assert len({*first, *following}) == 5
    other = from_config(CONFIG.replace("[0, 1]", "5"))
    assert steps(other.from_bytes(saved), 2) == following
    assert steps(from_config().from_disk(tmp_path / "model"), 2) == following
    assert steps(copy.deepcopy(from_config().from_bytes(saved)), 2) == following
    assert steps(from_config().from_bytes(saved).copy(), 2) == following


def test_states_load_into_layers_with_and_without_a_seed():
    seeded, plain = from_config(), from_config(CONFIG.replace("seed = [0, 1]", ""))
    steps(seeded, 3)
    saved, unseeded = seeded.to_bytes(), plain.to_bytes()
    assert steps(plain.from_bytes(saved), 2) == steps(seeded, 2)
    assert seeded.from_bytes(unseeded).layers[1].attrs["masks"] is None
    theirs = chain(Relu(5, 5), thinc.api.Dropout(0.3))
    theirs.initialize()
    ours = from_config().from_bytes(theirs.to_bytes())
    assert ours.layers[1].attrs["dropout_rate"] == 0.3
    assert ours.layers[1].attrs["masks"].state["stream"] == 0
    theirs.from_bytes(saved)
    assert theirs.layers[1].attrs["dropout_rate"] == 0.4


def test_thincs_random_seed_is_the_seed_of_a_layer_without_one():
    layer = Dropout(0.4)
    fix_random_seed(3)
    first = steps(layer, 3)
    assert len(set(first)) == 3
    fix_random_seed(3)
    assert steps(Dropout(0.4), 3) == first
    fix_random_seed(3)
    key = np.random.randint(2**32, size=4, dtype=np.uint32)  # noqa: NPY002 -- what thinc seeds
    assert first[0] == fastdrop.Mask(X.shape, 0.4, key=key).apply(X).tobytes()


def test_thincs_own_layers_are_replaced_in_a_model():
    """The recipe of the page."""
    model = chain(Relu(5, 5, dropout=0.2), Relu(5, 5, dropout=0.3), Linear(2, 5))
    for number, node in enumerate(list(model.walk())):
        if node.name == "dropout":
            model.replace_node(node, Dropout(node.attrs["dropout_rate"], seed=[0, number]))
    ours = [node for node in model.walk() if node.name == "dropout"]
    assert [node.attrs["dropout_rate"] for node in ours] == [0.2, 0.3]
    model.initialize(X=X)
    model(X, is_train=True)
    assert [node.attrs["masks"].state["stream"] for node in ours] == [1, 1]
    assert ours[0].attrs["masks"].key != ours[1].attrs["masks"].key


def test_the_expected_value_is_the_input():
    """The mean of 2**20 elements has the variance p / (1 - p) / 2**20. It is off by 6 standard deviations
    once in 10**9."""
    x = np.ones((1024, 1024), np.float32)
    y, _ = Dropout(0.2, seed=0)(x, is_train=True)
    assert abs(float(y.mean(dtype=np.float64)) - 1) < 6 * (0.25 / 2**20) ** 0.5
    assert set(np.unique(y)) == {0, np.float32(1.25)}


def test_refusals():
    def step(x, rate=0.4):
        return lambda: Dropout(rate)(x, is_train=True)

    refuse(step(X.astype(int)), TypeError, "x must be an array of float16, bfloat16, float32 or float64")
    refuse(step([X, X > 0]), TypeError, "x must be an array of float16", "bool")
    for nested in ([[X]], [1.0, 2.0], [X, None], "text", None):
        refuse(step(nested), TypeError, "x must be an array, a Ragged, a Padded or a sequence of arrays, not")
    refuse(step(X, 1.5), ValueError, "dropout_rate must be from 0 to 1, the probability of dropping, not 1.5")
    refuse(lambda: Dropout(0.4, seed=-1), ValueError, "seed must be")
    other = Dropout(0.4)
    other.ops = thinc.api.Ops()
    refuse(
        lambda: other(X, is_train=True), TypeError, "fastdrop.Dropout.v1 needs arrays in CPU memory", "Ops"
    )
    _, backprop = Dropout(0.4)(X, is_train=True)
    refuse(lambda: backprop(X[:2]), ValueError, "x must have the shape (6, 5), not (2, 5)")
