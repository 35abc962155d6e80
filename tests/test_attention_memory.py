# SPDX-License-Identifier: BSD-3-Clause
"""Where the arrays of attention lie, what it saves, and how much memory it takes."""

import pickle
import threading
import tracemalloc

import numpy as np
import pytest

import fastdrop
from arrays import ALL_LAYOUTS, same_bytes
from attention_cases import (
    BATCH,
    HEADS,
    KEYS,
    LEADING,
    QUERIES,
    SIZE,
    WEIGHTS,
    attend,
    check,
    every_dtype,
    exact,
    operands,
    triangle,
)
from fastdrop.fused import _attention_blocks

# --- Layouts ------------------------------------------------------------------------------------------------

OPTIONS = {"p": 0.25, "rng": 1, "is_causal": True}


def wanted_of(arrays):
    shape = (*LEADING, arrays[0].shape[-2], KEYS)
    return exact(*arrays, fastdrop.Mask(shape, 0.25, seed=1), seen=triangle(*shape[-2:]))


@every_dtype
def test_heads_may_lie_beside_each_other(dtype):
    """As a projection leaves them: (batch, T, 3, heads, d)."""
    arrays = operands(dtype, KEYS, own_size=SIZE)
    together = np.zeros((BATCH, KEYS, 3, HEADS, SIZE), dtype)
    views = [together[:, :, at].transpose(0, 2, 1, 3) for at in range(3)]
    for view, array in zip(views, arrays, strict=False):
        view[...] = array
    flat, dy = (np.zeros((BATCH, KEYS, HEADS, SIZE), dtype) for _ in range(2))
    dy = dy.transpose(0, 2, 1, 3)
    dy[...] = arrays[3]
    joined = np.full_like(together, 7)
    parts = tuple(joined[:, :, at].transpose(0, 2, 1, 3) for at in range(3))
    out = flat.transpose(0, 2, 1, 3)
    y, *gradients = attend(*views, dy, out=out, gradients=parts, **OPTIONS)
    assert np.may_share_memory(y, flat)
    assert all(np.may_share_memory(gradient, joined) for gradient in gradients)
    check((out, *parts), wanted_of(arrays), dtype)


OF_MATRICES = ("matrix", "reversed columns, Fortran order")
LAYOUTS = {name: lay for name, lay in ALL_LAYOUTS.items() if name not in OF_MATRICES}


@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout, dtype):
    lay, arrays = LAYOUTS[layout], operands(dtype)
    wanted = wanted_of(arrays)
    mixed = [[lay(a) if at == own else a for at, a in enumerate(arrays)] for own in range(4)]
    for given in (map(lay, arrays), *mixed):
        check(attend(*given, **OPTIONS), wanted, dtype)
    if layout == "read-only":
        return
    out, *gradients = (lay(np.full(right.value.shape, 7, dtype)) for right in wanted)
    results = attend(*arrays, out=out, gradients=tuple(gradients), **OPTIONS)
    for place, result in zip((out, *gradients), results, strict=True):
        assert np.may_share_memory(np.asarray(place), result)
    native = [np.asarray(place, np.dtype(dtype)) for place in (out, *gradients)]
    check(native, wanted, dtype)


@every_dtype
def test_new_gradients_for_some(dtype):
    arrays = operands(dtype)
    place = np.full_like(arrays[1], 7)
    results = attend(*arrays, gradients=[None, place, None], **OPTIONS)
    assert np.may_share_memory(results[2], place)
    check(results, wanted_of(arrays), dtype)


def test_lists_are_converted():
    arrays = operands("float64")
    check(attend(*(array.tolist() for array in arrays), **OPTIONS), wanted_of(arrays), "float64")


# --- What is saved ------------------------------------------------------------------------------------------


@every_dtype
def test_nothing_is_copied_and_no_scores_are_saved(dtype):
    query, key, value, _ = operands(dtype)
    y, saved = fastdrop.attention(query, key, value, 0.25, rng=1, scale=0.5, is_causal=True)
    arrays = {"query": query, "key": key, "value": value, "y": y}
    assert all(getattr(saved, name) is array for name, array in arrays.items())
    assert saved.lse.shape == (*LEADING, QUERIES)
    assert saved.lse.dtype == fastdrop.reference.computed_with(dtype)
    assert (saved.scale, saved.is_causal, saved.attn_mask) == (0.5, True, None)
    others = {name for name, value in vars(saved).items() if isinstance(value, np.ndarray)} - set(arrays)
    assert others == {"lse"}
    _, saved = fastdrop.attention(query, key, value, attn_mask=np.ones(KEYS, bool))
    assert saved.attn_mask.shape == WEIGHTS
    assert saved.attn_mask.strides[:-1] == (0, 0, 0)  # a view of one row


def test_what_is_saved_is_frozen_and_can_be_pickled():
    *arrays, dy = operands()
    _, saved = fastdrop.attention(*arrays, 0.25, rng=1, is_causal=True, attn_mask=np.ones(KEYS, bool))
    for name in vars(saved):
        with pytest.raises(AttributeError):
            setattr(saved, name, None)
    assert repr(saved).startswith("SavedAttention(query=<float32 (2, 3, 7, 8)>, key=<float32 (2, 3, 9, 8)>, ")
    for each in (pickle.loads(pickle.dumps(saved)), saved, saved):  # it may be used again
        check(fastdrop.attention_backward(dy, each), wanted_of([*arrays, dy])[1:], "float32")


def peak_of(call):
    """What NumPy and Python take at the most, beyond what there was."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = call()
        return tracemalloc.get_traced_memory()[1] - before, result
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_memory_grows_with_the_length_and_not_with_its_square(dtype, is_causal):
    length = 2048
    *arrays, dy = operands(dtype, length, length, 16, 16, ())
    block = _attention_blocks.BLOCK_BYTES
    row = length * 16 * 4  # bytes of an operand in float32
    forward, (_, saved) = peak_of(lambda: fastdrop.attention(*arrays, 0.1, rng=1, is_causal=is_causal))
    # A block of scores, y, lse, and what is converted or multiplied before it is added: of an operand's size.
    assert forward < block + 8 * row
    back, _ = peak_of(lambda: fastdrop.attention_backward(dy, saved))
    assert back < 2 * block + 12 * row
    assert 2 * block + 12 * row < length * length * 4  # which scores would take


# --- Threads ------------------------------------------------------------------------------------------------


def test_threads_that_attend_at_once_do_not_share_their_scores():
    """Memory is kept from call to call: by each thread its own."""
    cases = [operands("float32", 64 + at, 100 + at, leading=(2, 3)) for at in range(4)]
    results = [[] for _ in cases]
    barrier = threading.Barrier(len(cases))

    def repeat(at):
        barrier.wait()
        for _ in range(20):
            results[at].append(attend(*cases[at], p=0.25, rng=1))

    workers = [threading.Thread(target=repeat, args=(at,)) for at in range(len(cases))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for at, (arrays, found) in enumerate(zip(cases, results, strict=True)):
        assert len(found) == 20
        wanted = exact(*arrays, fastdrop.Mask((2, 3, 64 + at, 100 + at), 0.25, seed=1))
        for each in found:
            check(each, wanted, "float32")


def test_an_attention_inside_another_one_has_memory_of_its_own(monkeypatch):
    """As where a signal's handler attends. All blocks are the same, so that results have the same bits."""
    arrays, others = operands("float32"), operands("float32", 9, 11)
    plain = attend(*arrays, p=0.25, rng=1)
    run = _attention_blocks._core.run

    class Core:
        @staticmethod
        def run(*arguments):
            monkeypatch.setattr(_attention_blocks, "_core", real)
            attend(*others, p=0.5, rng=2)
            monkeypatch.setattr(_attention_blocks, "_core", Core)
            return run(*arguments)

    real = _attention_blocks._core
    monkeypatch.setattr(_attention_blocks, "_core", Core)
    for result, wanted in zip(attend(*arrays, p=0.25, rng=1), plain, strict=True):
        assert same_bytes(result, wanted)
