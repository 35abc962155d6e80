# SPDX-License-Identifier: BSD-3-Clause
"""`dropout` with a `MaskGenerator` is one call of the core, and refuses what the longer way refuses."""

import itertools
import threading

import ml_dtypes
import numpy as np
import pytest

import fastdrop
from fastdrop import _core
from refusal import refuse

X = np.arange(1, 13, dtype=np.float32).reshape(3, 4)


class Real(float):
    """A number that compares as if it were 0.5, and says so when it is asked, but is not."""

    def __float__(self):
        return 0.5

    def __lt__(self, other):
        return other > 0.5

    def __le__(self, other):
        return other >= 0.5

    def __gt__(self, other):
        return other < 0.5

    def __ge__(self, other):
        return other <= 0.5


BAD_P = [1 + 2.0**-52, 1.5, 7, 7.0, np.inf, -np.inf, np.nan, -5e-324, -0.1, -1, np.float32(1.5), Real(7.0)]
BAD_P += ["0.5", None, True, [0.5], 1j, np.array([0.5, 1.5]), np.array(np.nan), np.array(["a"]), 10**400]
BAD_X = [None, "x", 3, [["a"]], np.ones((3, 4), np.int32), np.ones((3, 4), bool), np.ones((3, 4), complex)]
BAD_X += [np.ma.array(X, mask=X > 3), np.ones((3, 4), object), np.ones((3, 4), np.longdouble)]


def read_only():
    out = np.ones((3, 4), np.float32)
    out.flags.writeable = False
    return out


BAD_OUT = [
    lambda x: [[1.0] * 4] * 3,
    lambda x: np.ones((4, 3), np.float32),
    lambda x: np.ones(12, np.float32),
    lambda x: np.ones((3, 4), np.float64),
    lambda x: np.ones((3, 4), np.int32),
    lambda x: np.ones((3, 4), ml_dtypes.bfloat16),
    lambda x: read_only(),
    lambda x: x.reshape(-1)[1:].reshape(-1)[:8].reshape(2, 4),
    lambda x: np.broadcast_to(np.ones(4, np.float32), (3, 4)),
    lambda x: np.lib.stride_tricks.as_strided(np.ones(6, np.float32), (3, 4), (4, 4)),
    lambda x: np.ma.array(np.ones((3, 4), np.float32)),
    lambda x: 3,
]


def refusals(p=0.5, x=X, out=None):
    """What both ways raise."""
    caught = []
    for rng in (fastdrop.MaskGenerator(0), 0):
        with pytest.raises((TypeError, ValueError)) as error:
            fastdrop.dropout(x, p, rng=rng, out=out)
        caught.append((error.type, str(error.value)))
    return caught


@pytest.mark.parametrize("p", BAD_P, ids=repr)
def test_a_bad_p_is_refused_and_takes_no_mask(p):
    x, masks = X.copy(), fastdrop.MaskGenerator(0)
    fast, slow = refusals(p, x, x)
    assert fast == slow
    assert fast[1].startswith("p must be ")
    with pytest.raises(fast[0]):
        fastdrop.dropout(x, p, rng=masks, out=x)
    assert masks.state == fastdrop.MaskGenerator(0).state
    assert (x == X).all()


@pytest.mark.parametrize("x", BAD_X, ids=repr)
def test_a_bad_x_is_refused(x):
    fast, slow = refusals(x=x)
    assert fast == slow
    assert fast[1].startswith("x must be ")


@pytest.mark.parametrize("make", BAD_OUT)
def test_a_bad_out_is_refused_and_untouched(make):
    x = X.copy()
    out = make(x)
    before = repr(out)
    fast, slow = refusals(x=x, out=out)
    assert fast == slow
    assert fast[1].startswith("out ")
    assert repr(out) == before
    assert (x == X).all()


def test_an_out_that_overlaps_x_in_part_is_refused():
    memory = np.arange(13, dtype=np.float32)
    x, out = memory[:12].reshape(3, 4), memory[1:].reshape(3, 4)
    fast, slow = refusals(x=x, out=out)
    assert fast == slow
    assert fast[1].startswith("out must ")
    assert (memory == np.arange(13)).all()


def test_the_core_takes_a_float_for_what_it_holds():
    """Whatever the methods of a subclass say: those of Python decide, and no method of it."""
    assert _core.dropout(X, None, fastdrop.MaskGenerator(0), Real(7.0), None, fastdrop.Mask) is None
    state = _core.MaskState(0, (0, 0), 0, Real(0.25), 0, (3,), None, None)
    assert (type(state.p), state.p) == (float, 0.25)
    refuse(lambda: _core.MaskState(0, (0, 0), 0, Real(7.0), 0, (3,), None, None), ValueError, "p must be")


def test_every_stream_is_handed_out_once_whoever_asks():
    """By each way to a stream, from threads that begin together. Without a GIL a lost update would show."""
    masks, each, ways = fastdrop.MaskGenerator(0), 2000, 4
    x, found = np.ones(4, np.float32), [[] for _ in range(2 * ways)]
    source = masks._source
    take = [
        lambda: fastdrop.dropout(x, 0.5, rng=masks)[1].stream,
        lambda: masks.mask(4, 0.5).stream,
        lambda: fastdrop.bias_dropout_add(x, p=0.5, rng=masks)[1].mask.stream,
        lambda: source.draw(0.5, (4,), None).stream,
    ]
    start = threading.Barrier(len(found))

    def work(number):
        start.wait()
        found[number] += [take[number % ways]() for _ in range(each)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*found)) == list(range(len(found) * each))
    assert masks.state["stream"] == len(found) * each
    assert all(streams == sorted(streams) for streams in found)
