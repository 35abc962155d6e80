# SPDX-License-Identifier: BSD-3-Clause
"""Softmax with dropout, softmax alone and its logarithm: their bits, their masks, and where they write."""

import math
import pickle
import tracemalloc

import numpy as np
import pytest

import fastdrop
from arrays import ALL_LAYOUTS, DTYPES, same_bytes
from fastdrop import _core
from fastdrop.mask import state_and_scale
from fastdrop.reference import SOFTMAX_OPERATIONS, computed_with
from operations import stored_twins, twins, twins_of_a_form

SHAPE = BATCH, QUERIES, KEYS = 3, 5, 40
SCALE = 0.37
PLAIN = [
    (fastdrop.softmax, fastdrop.softmax_backward),
    (fastdrop.log_softmax, fastdrop.log_softmax_backward),
]

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def normal(seed, dtype="float32", shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def softmax_dropout(scores, *arguments, **options):
    return fastdrop.softmax_dropout(scores, *arguments, **{"scale": SCALE, "rng": 7, **options})


# --- The reference --------------------------------------------------------------------------------------

# A mask, and what the reference says of it.
MASKS = {
    "drawn": twins(SHAPE, 0.3),
    "few bits": twins(SHAPE, 0.5),
    "nothing": twins(SHAPE, 0.0),
    "philox": twins(SHAPE, 0.3, generator="philox4x32-10"),
    "p by key": twins(SHAPE, np.linspace(0, 0.9, KEYS)),
    "p by batch": twins(SHAPE, np.linspace(0, 0.9, BATCH).reshape(-1, 1, 1)),
    "window": tuple(mask[1:4, 2:7, 9:49] for mask in twins((5, 9, 60), 0.3)),
    "shared by keys": twins_of_a_form("shared", SHAPE, 0.3, {2}),
    "shared by queries": twins_of_a_form("shared", SHAPE, 0.3, {1}),
    "stored": stored_twins(SHAPE),
    "stored, broadcast": stored_twins((QUERIES, KEYS)),
    "stored, one row": stored_twins((KEYS,)),
}


@every_dtype
@pytest.mark.parametrize("form", MASKS)
def test_softmax_dropout_and_its_gradient_are_the_references(isa, form, dtype):
    mask, slow = MASKS[form]
    keep, drop_scale = slow.to_numpy(), slow.scale
    scores, dy, added = normal(0, dtype), normal(1, dtype), normal(2, dtype)
    for attn_mask, is_causal in ((None, False), (None, True), (added, False), (added, True)):
        visible = 1.0 if is_causal else math.inf
        reference = SOFTMAX_OPERATIONS["softmax_dropout"]
        y, weights, _ = reference(keep, scores, attn_mask, drop_scale, SCALE, visible)
        ours, saved = softmax_dropout(scores, attn_mask=attn_mask, is_causal=is_causal, mask=mask, rng=None)
        assert same_bytes(ours, y)
        assert same_bytes(saved.weights, weights)
        back = SOFTMAX_OPERATIONS["softmax_dropout_backward"]
        (dscores,) = back(keep, dy, weights, drop_scale, SCALE)
        assert same_bytes(fastdrop.softmax_dropout_backward(dy, saved), dscores)


@every_dtype
@pytest.mark.parametrize("shape", [(KEYS,), (3, 0), (0, 4), (4, 1), (2, 3, 4, 33), (7, 1000)], ids=str)
def test_softmax_and_its_logarithm_are_the_references(isa, shape, dtype):
    x, dy, all_of_them = normal(0, dtype, shape), normal(1, dtype, shape), np.ones(shape, bool)
    y, _, _ = SOFTMAX_OPERATIONS["softmax_dropout"](all_of_them, x, None, 1.0, 1.0, math.inf)
    assert same_bytes(fastdrop.softmax(x), y)
    (dx,) = SOFTMAX_OPERATIONS["softmax_dropout_backward"](all_of_them, dy, y, 1.0, 1.0)
    assert same_bytes(fastdrop.softmax_backward(dy, y), dx)
    (y,) = SOFTMAX_OPERATIONS["log_softmax"](all_of_them, x)
    assert same_bytes(fastdrop.log_softmax(x), y)
    (dx,) = SOFTMAX_OPERATIONS["log_softmax_backward"](all_of_them, dy, y)
    assert same_bytes(fastdrop.log_softmax_backward(dy, y), dx)


@every_dtype
def test_softmax_alone_is_softmax_dropout_without_dropout(dtype):
    x, dy = normal(0, dtype), normal(1, dtype)
    y, saved = fastdrop.softmax_dropout(x)
    assert same_bytes(fastdrop.softmax(x), y)
    assert same_bytes(fastdrop.softmax_backward(dy, y), fastdrop.softmax_dropout_backward(dy, saved))


# --- Dropout --------------------------------------------------------------------------------------------

OPTIONS = [{"p": 0.3}, {"p": np.linspace(0, 1, KEYS)}, {"p": 0.3, "noise_shape": (None, 1, None)}, {}]


@every_dtype
def test_what_is_dropped_is_what_dropout_would_drop(dtype):
    """y is dropout's of the weights: in 16 bits too, but for a rounding in between."""
    ours, theirs = fastdrop.MaskGenerator(5), fastdrop.MaskGenerator(5)
    x = normal(0, dtype)
    for options in OPTIONS:
        y, saved = softmax_dropout(x, rng=ours, **options)
        wanted, mask = fastdrop.dropout(saved.weights, rng=theirs, **{"p": 0.0, **options})
        assert saved.mask == mask
        assert ((y == 0) == (wanted == 0)).all()
        assert np.dtype(dtype).itemsize == 2 or same_bytes(y, wanted)
    assert ours.state == theirs.state
    assert softmax_dropout(x, p=0.3, rng=9)[1].mask == fastdrop.Mask(SHAPE, 0.3, seed=9)


def test_neither_evaluation_nor_a_mask_that_is_given_draws_one():
    masks = fastdrop.MaskGenerator(5)
    before = masks.state
    y, _ = softmax_dropout(normal(0), p=0.3, rng=masks, training=False)
    given, _ = softmax_dropout(normal(0), mask=fastdrop.Mask(SHAPE, 0.3, seed=0), rng=None, training=False)
    assert same_bytes(given, y)
    assert same_bytes(softmax_dropout(normal(0))[0], y)
    softmax_dropout(normal(0), mask=fastdrop.Mask(SHAPE, 0.3, seed=0), rng=None)
    assert masks.state == before


@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
def test_what_was_drawn_may_be_given(options):
    y, saved = softmax_dropout(normal(0), **options)
    again, other = softmax_dropout(normal(0), mask=saved.mask, rng=None)
    assert same_bytes(again, y)
    pair = [fastdrop.softmax_dropout_backward(normal(1), each) for each in (saved, other)]
    assert same_bytes(*pair)


def test_a_second_array_is_made_only_where_something_is_dropped():
    for options in ({}, {"p": 0.0}, {"p": 0.5, "training": False}):
        y, saved = softmax_dropout(normal(0), **options)
        assert saved.weights is y
    y, saved = softmax_dropout(normal(0), p=0.5)
    assert not np.may_share_memory(saved.weights, y)
    not_inverted = fastdrop.Mask(SHAPE, 0.0, seed=0, inverted=False)
    y, saved = softmax_dropout(normal(0), mask=not_inverted, rng=None)
    assert same_bytes(y, softmax_dropout(normal(0))[0])
    # Of p = 1 everything is dropped; the weights are still there.
    y, saved = softmax_dropout(normal(0), p=1.0)
    assert same_bytes(y, np.zeros(SHAPE, np.float32))
    assert same_bytes(saved.weights, softmax_dropout(normal(0))[0])
    assert (fastdrop.softmax_dropout_backward(normal(1), saved) == 0).all()


def test_shards_have_the_bits_of_the_whole(threads):
    shape = 67, 300
    x, dy, mask = normal(0, shape=shape), normal(1, shape=shape), fastdrop.Mask(shape, 0.3, seed=1)

    def step(part):
        y, saved = softmax_dropout(x[part], mask=mask[part], rng=None)
        return y, fastdrop.softmax_dropout_backward(dy[part], saved)

    whole = step(slice(None))
    for count in (1, 2, 7):
        with threads(count):
            assert all(map(same_bytes, step(slice(None)), whole))
    shards = [step(slice(first, first + 20)) for first in range(0, 67, 20)]
    for result, *parts in zip(whole, *shards, strict=True):
        assert same_bytes(np.concatenate(parts), result)


# --- Where results are written --------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("out", ["scores", "own", None])
@pytest.mark.parametrize("weights_out", ["scores", "own", None])
def test_results_are_written_in_place(out, weights_out, p):
    if out is not None and out == weights_out == "scores":
        return
    scores = normal(0)
    places = {"scores": scores, "own": np.full(SHAPE, 7, np.float32), None: None}
    given = {"out": places[out], "weights_out": places[weights_out]}
    if out == weights_out == "own":
        given["weights_out"] = np.full(SHAPE, 7, np.float32)
    wanted, before = softmax_dropout(normal(0), p=p)
    y, saved = softmax_dropout(scores, p=p, **given)
    assert given["out"] is None or y is given["out"]
    assert given["weights_out"] is None or saved.weights is given["weights_out"]
    assert same_bytes(y, wanted)
    assert same_bytes(saved.weights, before.weights)
    dy = normal(1)
    gradient = fastdrop.softmax_dropout_backward(dy, before)
    assert fastdrop.softmax_dropout_backward(dy, saved, out=dy) is dy
    assert same_bytes(dy, gradient)


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
@every_dtype
def test_every_layout_gives_the_same_bits(dtype, layout):
    lay, matrix = ALL_LAYOUTS[layout], (4, 6)
    x, dy, added = (normal(seed, dtype, matrix) for seed in range(3))
    options = {"p": 0.3, "attn_mask": added}
    y, saved = softmax_dropout(x, **options)
    gradient = fastdrop.softmax_dropout_backward(dy, saved)
    ours, own = softmax_dropout(lay(x), p=0.3, attn_mask=lay(added))
    assert same_bytes(ours, y)
    assert same_bytes(own.weights, saved.weights)
    assert same_bytes(fastdrop.softmax_dropout_backward(lay(dy), own), gradient)
    alone = {}
    for forward, backward in PLAIN:
        alone[forward] = forward(x), backward(dy, forward(x))
        assert same_bytes(forward(lay(x)), alone[forward][0])
        assert same_bytes(backward(lay(dy), lay(alone[forward][0])), alone[forward][1])
    if layout == "read-only":
        return
    out, weights = lay(x), lay(np.zeros(matrix, dtype))
    result, own = softmax_dropout(out, **options, out=out, weights_out=weights)
    assert (result is out, own.weights is weights) == (True, True)
    assert same_bytes(np.ascontiguousarray(np.asarray(out), y.dtype), y)
    assert same_bytes(np.ascontiguousarray(np.asarray(weights), y.dtype), saved.weights)
    for forward, backward in PLAIN:
        out = lay(x)
        assert forward(out, out=out) is out
        assert same_bytes(np.ascontiguousarray(np.asarray(out), y.dtype), alone[forward][0])
        out = lay(dy)
        assert backward(out, alone[forward][0], out=out) is out
        assert same_bytes(np.ascontiguousarray(np.asarray(out), y.dtype), alone[forward][1])


def test_lists_are_converted():
    x = normal(0, "float64", (2, 3))
    y, saved = softmax_dropout(x.tolist(), p=0.5)
    wanted, before = softmax_dropout(x, p=0.5)
    assert same_bytes(y, wanted)
    gradient = fastdrop.softmax_dropout_backward(x, before)
    assert same_bytes(fastdrop.softmax_dropout_backward(x.tolist(), saved), gradient)
    for forward, backward in PLAIN:
        assert same_bytes(forward(x.tolist()), forward(x))
        assert same_bytes(backward(x.tolist(), x.tolist()), backward(x, x))


def test_what_is_saved_is_frozen_and_can_be_pickled():
    y, saved = softmax_dropout(normal(0), p=0.5)
    for name in ("mask", "weights", "scale"):
        with pytest.raises(AttributeError):
            setattr(saved, name, None)
    wanted = "SavedSoftmaxDropout(mask=<Mask of shape (3, 5, 40)>, weights=<float32 (3, 5, 40)>, scale=0.37)"
    assert repr(saved) == wanted
    restored = pickle.loads(pickle.dumps(saved))
    pair = [fastdrop.softmax_dropout_backward(y, each) for each in (saved, restored)]
    assert same_bytes(*pair)


@every_dtype
def test_the_core_has_the_logarithm_of_the_sums(isa, dtype):
    """It is what a backward pass of attention makes weights of."""
    mask, slow = twins(SHAPE, 0.3)
    state, drop_scale = state_and_scale(mask)
    scores = normal(0, dtype)
    constants = drop_scale, SCALE, math.inf
    results = _core.run("softmax_dropout", state, scores, None, None, None, None, *constants)
    wanted = SOFTMAX_OPERATIONS["softmax_dropout"](slow.to_numpy(), scores, None, *constants)
    assert all(map(same_bytes, results, wanted))
    assert results[2].dtype == computed_with(dtype)


def peak_of(call):
    """What NumPy allocates at the most."""
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def test_memory_is_taken_for_outputs_only():
    """Also with a mask that is broadcast, and a causal one."""
    shape, small = (4, 128, 256), 4096  # bytes of Python's objects
    scores, row = np.ones(shape, np.float32), np.ones(shape[-1], bool)
    targets = np.zeros(shape[:-1], np.int8)
    for _ in range(2):  # the first one imports and caches
        for options, arrays in ({"p": 0.5}, 2), ({}, 1), ({"p": 0.5, "training": False}, 1):
            options |= {"is_causal": True, "attn_mask": row, "rng": 0}
            peak, (y, saved) = peak_of(lambda options=options: fastdrop.softmax_dropout(scores, **options))
            back, _ = peak_of(lambda y=y, saved=saved: fastdrop.softmax_dropout_backward(y, saved))
            rows = 16 * row.size
            assert (peak // (scores.nbytes - small), back // (scores.nbytes - small)) == (arrays, 1)
            assert peak < arrays * scores.nbytes + rows + small
            assert back < scores.nbytes + small
        for forward, backward in PLAIN:
            assert peak_of(lambda forward=forward: forward(scores))[0] < scores.nbytes + small
            back = peak_of(lambda backward=backward: backward(scores, scores))[0]
            assert back < scores.nbytes + small
        # Of the rows of a cross entropy: losses, their list, and classes in several types.
        peak, _ = peak_of(lambda: fastdrop.cross_entropy(scores, targets))
        assert peak < scores.nbytes + 128 * targets.size + small
