# SPDX-License-Identifier: BSD-3-Clause
"""The table of docs/kinds.md, cell by cell, and what is common to all kinds of dropout."""

import copy
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

import fastdrop
from kind_definitions import KINDS, MASKS, SEED, TABLE, P

DOCUMENT = Path(__file__).parents[1] / "docs" / "kinds.md"


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


# --- The table ------------------------------------------------------------------------------------


def filled(view, x):
    view[...] = x
    return view


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


# Every one makes a new array with the values of a C-contiguous one.
LAYOUTS = {
    "C order": lambda x: x.copy(),
    "Fortran order": lambda x: x.copy(order="F"),
    "transposed": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
    "reversed": lambda x: x[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
    "sliced": lambda x: filled(np.zeros([2 * n for n in x.shape], x.dtype)[(slice(1, None, 2),) * x.ndim], x),
    "misaligned": lambda x: filled(np.zeros(x.nbytes + 1, "u1")[1:].view(x.dtype).reshape(x.shape), x),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "read-only": read_only,
}  # fmt: skip
PASSES = ["forward", "backward"]
DTYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}


def cells():
    """(kind, pass, layout, dtype) for everything that the table says."""
    lines = [
        line.strip("|").split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")
    ]
    rows = [[cell.strip() for cell in line] for line in lines]
    (start,) = (number for number, row in enumerate(rows) if row[:2] == ["kind", "pass"])
    for row in rows[start + 1 :]:
        for layout, dtypes in zip(rows[start][2:], row[2:], strict=True):
            for dtype in dtypes.split():
                yield row[0], row[1], layout, dtype


CELLS = list(cells())


def test_the_table_has_every_cell():
    """Every kind, both passes, all layouts, and all dtypes.

    But for one: bfloat16 is not NumPy's own, and NumPy has no byte order for it.
    """
    assert len(CELLS) == len(set(CELLS))
    wanted = {(k, p, layout, dtype) for k in TABLE for p in PASSES for layout in LAYOUTS for dtype in DTYPES}
    assert set(CELLS) == {cell for cell in wanted if cell[2:] != ("big-endian", "bf16")}


def values(shape, dtype):
    """Different numbers, and among them those that a conversion or a copy might change."""
    x = (np.arange(np.prod(shape)) / 7 - 2).astype(dtype)
    odd = np.array([np.nan, np.inf, -np.inf, ml_dtypes.finfo(dtype).smallest_subnormal, -0.0], dtype)
    x[::5] = np.resize(odd, x[::5].shape)
    return x.reshape(shape)


def same(result, wanted):
    return (
        type(result) is np.ndarray
        and (result.dtype, result.shape) == (wanted.dtype, wanted.shape)
        and result.tobytes() == wanted.tobytes()
    )


@pytest.mark.parametrize(("name", "direction", "layout", "dtype"), CELLS)
def test_cell(name, direction, layout, dtype):
    kind, lay = TABLE[name], LAYOUTS[layout]
    plain = values(kind.shape, DTYPES[dtype])
    x, wanted = lay(plain), kind.defined(plain, direction=direction)
    layer = kind.make(P, SEED)
    layer.forward(plain[::-1].copy())  # the backward pass needs its mask, and nothing of its values

    def call(x, out=None):
        if direction == "backward":
            return layer.backward(x, out=out)
        return kind.make(P, SEED).forward(x, out=out)

    assert same(call(x), wanted)
    assert same(x.astype(plain.dtype), plain)
    if x.flags.writeable:
        out = lay(np.full_like(plain, 7))
        assert call(x, out) is out
        assert same(out.astype(plain.dtype), wanted)
        assert call(x, x) is x
        assert same(x.astype(plain.dtype), wanted)


@given(st.sampled_from(list(KINDS)), st.data())
def test_windows(name, data):
    """What a shard gets from its window of the mask is that part of the whole."""
    kind = KINDS[name]
    x = values(kind.shape, np.float32)
    layer = kind.make(P, SEED)
    y = layer(x)
    index = data.draw(basic_indices(kind.shape))
    assert same(layer.mask[index].apply(x[index]), np.asarray(y[index]))


# --- Gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, P])
@pytest.mark.parametrize("name", MASKS)
def test_gradient_is_that_of_finite_differences(name, p):
    """Of L = sum(dy * y) by every single element, with the forward pass done again for each.

    For masks; those of alpha and Gaussian dropout are in test_alpha.py and test_gaussian.py.

    Steps of 1 from small integers: as y is linear there is no error of truncation, and with a scale of 1 or 2
    all is exact. Otherwise, with |y| <= 4 s and |dy| <= 4, s the scale and u = 2**-53, the two y's err by up
    to 4 s u each and their rounded difference by s u more; times |dy|, these are 36 s u. The product with dy
    and the gradient itself are rounded too, each by up to 4 s u: together 44 s u, and 45 s u with what is of
    the order of u**2.
    """
    kind, rng = MASKS[name], np.random.default_rng(0)
    x = rng.integers(-3, 4, kind.shape).astype(np.float64)
    dy = rng.integers(1, 5, kind.shape).astype(np.float64)

    def forward(x):
        return kind.make(p, SEED).forward(x)

    layer = kind.make(p, SEED)
    y = layer.forward(x)
    gradient = layer.backward(dy)
    scales = np.unique(layer.mask.scale)
    exact = set(scales) <= {1.0, 2.0}
    assert exact or p != 0.5 or kind.define is not None
    differences = np.zeros_like(x)
    for index in np.ndindex(kind.shape):
        changed = x.copy()
        changed[index] += 1
        step = forward(changed) - y
        assert np.count_nonzero(step) <= 1
        differences[index] = (dy * step).sum()
    bound = 0 if exact else 45 * scales.max() * 2.0**-53
    assert np.abs(differences - gradient).max() <= bound
    assert np.count_nonzero(gradient) == np.count_nonzero(layer.mask.to_numpy())


# --- Functions, evaluation, state -----------------------------------------------------------------


def test_functions_do_what_layers_do(kind):
    x = values(kind.shape, np.float32)
    layer, masks = kind.make(P, SEED), fastdrop.MaskGenerator(SEED)
    for number in range(3):
        y, mask = kind.function(x, P, rng=masks)
        assert same(layer.forward(x), y)
        assert layer.mask.to_numpy().tobytes() == mask.to_numpy().tobytes()
        if number == 0:
            assert same(kind.function(x, P, rng=SEED)[0], y)
    y, mask = kind.function(x, P, rng=masks, training=False)
    assert mask.to_numpy().all()
    assert same(layer.eval().forward(x), y)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything(kind, p):
    x = values(kind.shape, np.float32)
    layer = kind.make(p, SEED)
    assert same(layer(x), kind.defined(x, p))
    assert same(layer.backward(x), kind.defined(x, p))


def test_evaluation(kind):
    x = values(kind.shape, np.float32)
    layer = kind.make(0.25, SEED).eval()
    stream = layer.rng.state["stream"]
    if kind.inverted:
        assert layer(x) is x
        assert layer.backward(x).tobytes() == x.tobytes()
    else:
        with np.errstate(all="ignore"):
            assert same(layer(x), x * np.float32(0.75))
    out = np.zeros_like(x)
    assert layer(x, out=out) is out
    assert same(out, layer(x))
    assert layer.rng.state["stream"] == stream, "no mask is used up"


def test_lists_are_arrays_and_integers_are_refused(kind):
    x = np.ones(kind.shape)
    assert same(kind.make(P, SEED)(x.tolist()), kind.defined(x))
    with pytest.raises(TypeError, match=r"^(x|table|weight) must be an array of .*asarray"):
        kind.make(P, SEED)(x.astype(int))


def test_state_survives_a_checkpoint(kind):
    x = values(kind.shape, np.float32)
    layer = kind.make(P, SEED)
    layer(x)
    state = json.loads(json.dumps(layer.state_dict()))
    following = layer(x), layer.backward(x)
    other = kind.make(0.9, 0)
    other.load_state_dict(state)
    assert same(other(x), following[0])
    assert same(other.backward(x), following[1])
    with pytest.raises(ValueError, match="state must be a dict with the keys"):
        other.load_state_dict({})


def test_a_layer_can_be_copied_and_shown(kind):
    x = values(kind.shape, np.float32)
    layer = kind.make(P, SEED)
    twin = copy.deepcopy(layer)
    assert same(layer(x), twin(x))
    assert repr(layer).startswith(f"{type(layer).__name__}(p=")
    assert repr(layer) == repr(twin)
    assert ("inverted=False" in repr(layer)) == (not kind.inverted)


def test_the_empty_batch(kind):
    x = np.zeros((0, *kind.shape[1:]), np.float32)
    layer = kind.make(P, SEED)
    assert layer(x).shape == x.shape
    assert layer.backward(x).shape == x.shape
