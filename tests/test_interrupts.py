# SPDX-License-Identifier: BSD-3-Clause
"""A signal's handler runs while a long call works. Its exception, such as that of Ctrl-C, ends the call."""

import signal

import numpy as np
import pytest

import fastdrop

# By the portable kernels, each of these takes several times as long on one thread as the signal and the next
# look at it take, which is 60 ms.
LONG, DELAY = 1 << 24, 0.01
BEFORE = 7.0  # what `out` holds


class InterruptionError(Exception):
    """What the handler raises."""


@pytest.fixture
def alarm():
    """``alarm()``: soon a signal comes, whose handler raises InterruptionError."""

    def handler(number, frame):
        raise InterruptionError

    previous = signal.signal(signal.SIGALRM, handler)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, DELAY)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def square(out):
    return out.reshape(1 << 12, -1)


def masks():
    return fastdrop.MaskGenerator(seed=1, generator="philox4x32-10")


CALLS = {
    "contiguous": lambda out: fastdrop.GaussianDropout(0.3, rng=1)(out, out=out),
    "strided": lambda out: fastdrop.GaussianDropout(0.3, rng=1)(out[::-1], out=out[::-1]),
    "transposed": lambda out: fastdrop.dropout(square(out).T, 0.3, rng=masks(), out=square(out).T),
    "varying": lambda out: fastdrop.dropout(out, np.linspace(0.1, 1, out.size), rng=masks(), out=out),
    "elements of rows": lambda out: fastdrop.bias_dropout_add(
        square(out), p=0.3, activation="gelu", rng=masks()
    ),
    "rows": lambda out: fastdrop.dropout_add_layer_norm(square(out), p=0.3, rng=masks(), out=square(out)),
    "one row": lambda out: fastdrop.softmax_dropout(out, 0.3, rng=masks(), out=out),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_exception_of_a_handler_ends_a_call(call, threads, alarm):
    out = np.full(LONG, BEFORE)
    with fastdrop.use_isa("scalar"), threads(1):
        alarm()
        with pytest.raises(InterruptionError):
            CALLS[call](out)


@pytest.mark.parametrize("count", [1, 2])
def test_what_was_interrupted_is_done_in_part_and_may_be_done_again(count, threads, alarm):
    """In place: every element is as it was, or done. The mask is known, because its stream was taken."""
    out = np.full(2 * count * LONG, BEFORE)
    drop = fastdrop.GaussianDropout(0.3, rng=masks())
    state = drop.state_dict()
    with fastdrop.use_isa("scalar"), threads(count):
        alarm()
        with pytest.raises(InterruptionError):
            drop(out, out=out)
    again = fastdrop.GaussianDropout(0.3, rng=masks())
    again.load_state_dict(state)
    done = out == again(np.full(out.size, BEFORE))
    assert 0 < np.count_nonzero(done) < out.size
    assert (out[~done] == BEFORE).all()
