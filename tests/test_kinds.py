# SPDX-License-Identifier: BSD-3-Clause
"""What is common to all kinds of dropout: both passes in every layout, their layers, evaluation and state."""

import copy
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

import fastdrop
from arrays import DTYPES, LAYOUTS, same_bytes, special_values
from kind_definitions import KINDS, LAYERS, MASK_LAYERS, SEED, P
from refusal import refuse


@pytest.fixture(params=LAYERS)
def kind(request):
    return LAYERS[request.param]


# bfloat16 is not NumPy's own, and NumPy has no byte order for it.
CELLS = [
    (layout, dtype)
    for layout, dtype in itertools.product(LAYOUTS, DTYPES)
    if (layout, np.dtype(dtype).name) != ("big-endian", "bfloat16")
]


# What these drop is the model's: they do not work in place.
PARAMETERS = ("DropConnect", "EmbeddingDropout")


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("name", KINDS)
def test_every_layout_and_dtype_gives_what_the_definition_gives(name, direction):
    """Into a new array, into one of the same layout, and in place."""
    kind = KINDS[name]
    for layout, dtype in CELLS:
        plain, lay = special_values(kind.shape, dtype), LAYOUTS[layout]
        x, wanted = lay(plain), kind.defined(plain, direction=direction)
        layer = kind.make(P, SEED)
        layer.forward(plain[::-1].copy())  # the backward pass needs its mask, and nothing of its values

        def call(x, out=None, layer=layer):
            if direction == "backward":
                return layer.backward(x, out=out)
            return kind.make(P, SEED).forward(x, out=out)

        def holds(array, values, dtype=dtype):
            return same_bytes(np.ascontiguousarray(array, dtype=dtype), values)

        cell = layout, dtype
        assert same_bytes(call(x), wanted), cell
        assert holds(x, plain), cell
        if x.flags.writeable:
            out = lay(np.full_like(plain, 7))
            assert call(x, out) is out
            assert holds(out, wanted), cell
            if direction == "forward" and name.startswith(PARAMETERS):
                refuse(lambda: call(x, x), ValueError, "out must not share memory with")  # noqa: B023
                assert holds(x, plain), cell
                continue
            assert call(x, x) is x
            assert holds(x, wanted), cell


@given(st.sampled_from(list(MASK_LAYERS)), st.data())
def test_a_window_of_the_mask_gives_that_part_of_the_whole(name, data):
    """So that a shard computes its part alone."""
    kind = MASK_LAYERS[name]
    x = special_values(kind.shape, np.float32)
    layer = kind.make(P, SEED)
    y = layer(x)
    index = data.draw(basic_indices(kind.shape))
    assert same_bytes(layer.mask[index].apply(x[index]), np.asarray(y[index]))


# --- Functions, evaluation, state -----------------------------------------------------------------


def test_functions_do_what_layers_do(kind):
    x = special_values(kind.shape, np.float32)
    layer, masks = kind.make(P, SEED), fastdrop.MaskGenerator(SEED)
    for number in range(3):
        y, drawn = kind.function(x, P, rng=masks)
        assert same_bytes(layer.forward(x), y)
        assert same_bytes(kind.drawn(layer).to_numpy(), drawn.to_numpy())
        if number == 0:
            assert same_bytes(kind.function(x, P, rng=SEED)[0], y)
    y, drawn = kind.function(x, P, rng=masks, training=False)
    assert (drawn.to_numpy() == 1).all()
    assert same_bytes(layer.eval().forward(x), y)


@pytest.mark.parametrize("end", ["nothing", "everything"])
def test_dropping_nothing_and_everything_follows_the_definition(kind, end):
    p = 0.0 if end == "nothing" else kind.largest_p
    x = special_values(kind.shape, np.float32)
    layer = kind.make(p, SEED)
    assert same_bytes(layer(x), kind.defined(x, p))
    assert same_bytes(layer.backward(x), kind.defined(x, p, "backward"))


def test_evaluation_returns_x_or_scales_it(kind):
    x = special_values(kind.shape, np.float32)
    layer = kind.make(0.25, SEED).eval()
    stream = layer.rng.state["stream"]
    if kind.inverted:
        assert layer(x) is x
        assert same_bytes(layer.backward(x), x)
    else:
        with np.errstate(all="ignore"):
            assert same_bytes(layer(x), x * np.float32(0.75))
    out = np.zeros_like(x)
    assert layer(x, out=out) is out
    assert same_bytes(out, layer(x))
    assert layer.rng.state["stream"] == stream, "no mask is used up"


def test_lists_are_arrays_and_integers_are_refused(kind):
    x = np.ones(kind.shape)
    assert same_bytes(kind.make(P, SEED)(x.tolist()), kind.defined(x))
    with pytest.raises(
        TypeError, match=r"^(x|weight) must be an array of .*asarray|^table must be the embedding table"
    ):
        kind.make(P, SEED)(x.astype(int))


def test_state_survives_a_checkpoint(kind):
    x = special_values(kind.shape, np.float32)
    layer = kind.make(P, SEED)
    layer.backward(layer(x))
    state = json.loads(json.dumps(layer.state_dict()))
    following = layer(x), layer.backward(x)
    other = kind.make(0.9, 0)
    other.load_state_dict(state)
    assert same_bytes(other(x), following[0])
    assert same_bytes(other.backward(x), following[1])
    assert other.state_dict() == layer.state_dict() != state
    with pytest.raises(ValueError, match="state must be a dict with the keys"):
        other.load_state_dict({})


def test_a_layer_can_be_copied_and_shown(kind):
    x = special_values(kind.shape, np.float32)
    layer = kind.make(P, SEED)
    twin = copy.deepcopy(layer)
    assert same_bytes(layer(x), twin(x))
    assert repr(layer).startswith((f"{type(layer).__name__}(p=", "Dropout(keep_prob="))
    assert repr(layer) == repr(twin)
    assert ("inverted=False" in repr(layer)) == (not kind.inverted)


def test_an_empty_batch_gives_an_empty_batch(kind):
    x = np.zeros((0, *kind.shape[1:]), np.float32)
    layer = kind.make(P, SEED)
    assert layer(x).shape == x.shape
    assert layer.backward(x).shape == x.shape
