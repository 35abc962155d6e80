# SPDX-License-Identifier: BSD-3-Clause
"""Fused functions allocate their outputs and what they save, and the core what sums over rows need."""

import tracemalloc

import numpy as np
import pytest

import fastdrop
from processes import python

ROWS, COLUMNS = 2**14, 2**10
ARRAY = 4 * ROWS * COLUMNS  # bytes of float32: 64 MiB
STATISTIC, PARAMETER = 4 * ROWS, 4 * COLUMNS

# The arrays that come into being, in units of a large one, and the statistics of rows: forward, and back.
FUNCTIONS = {
    "bias_dropout_add": ({"activation": "silu"}, ["bias"], (1, 0), 1, 1),
    "dropout_add_layer_norm": ({}, ["weight", "bias", "x_bias"], (2, 2), 2, 3),
    "dropout_add_rms_norm": ({}, ["weight", "x_bias"], (2, 1), 2, 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpy_allocates_the_outputs_and_nothing_else(name):
    """NumPy's own memory only, which tracemalloc sees."""
    options, parameters, (large, statistics), back, sums = FUNCTIONS[name]
    shape = 512, 256
    x, residual, dy = (np.ones(shape, np.float32) for _ in range(3))
    values = {parameter: np.ones(shape[1], np.float32) for parameter in parameters}
    forward, backward = getattr(fastdrop, name), getattr(fastdrop, f"{name}_backward")
    small = 4096  # objects of Python's
    for _ in range(2):  # the first one imports and caches
        tracemalloc.start()
        y, saved = forward(x, residual=residual, **values, p=0.3, rng=0, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        gradients = backward(dy, saved)
        back_peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    forward_bytes = large * x.nbytes + statistics * 4 * shape[0]
    assert forward_bytes <= peak <= forward_bytes + small
    backward_bytes = back * x.nbytes + sums * 4 * shape[1]
    assert backward_bytes <= back_peak <= backward_bytes + small
    del y, gradients


# As in test_memory.py. The parent's pages are not the child's, so that nothing else is counted.
PROGRAM = """
import sys, numpy as np, fastdrop

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def reset():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return status("VmRSS")

name, threads, p, options, parameters, rows, columns = sys.argv[1], *map(eval, sys.argv[2:])
assert fastdrop.get_num_threads() == threads
x, residual, dy = (np.ones((rows, columns), np.float32) for _ in range(3))
values = {parameter: np.ones(columns, np.float32) for parameter in parameters}
p = p if p is not None else np.full((rows, 1), 0.3)
mask = fastdrop.Mask(x.shape, p, seed=0)
forward, backward = getattr(fastdrop, name), getattr(fastdrop, name + "_backward")
part = slice(0, 2048)  # large enough to hire the threads, and to load what is loaded once
small = forward(x[part], None, mask=mask[part], **options)[1]
backward(dy[part], small)
del small
before = reset()
y, saved = forward(x, residual=residual, mask=mask, **values, **options)
print(status("VmHWM") - before)
before = reset()
gradients = backward(dy, saved)
print(status("VmHWM") - before)
"""

# What else is counted is pages at the ends of outputs, stacks that workers touch, and what the kernel adds up
# late: as in test_memory.py.
ALLOWED = 2**20
TASKS, BLOCK = 32, 64  # csrc/runtime/tuning.h and column_sums.h


def scratch(sums, varies):
    """Of the core: sums of nodes that wait for their partner, in every task, and a row of scales."""
    blocks = -(-ROWS // BLOCK)
    nodes = 1 + (-(-blocks // TASKS) - 1).bit_length()
    return TASKS * (nodes * sums + varies) * PARAMETER


@pytest.mark.slow
@pytest.mark.parametrize("p", ["0.3", "None"], ids=["one p", "p by row"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_peak_of_memory_is_that_of_the_outputs(name, threads, p):
    options, parameters, (large, statistics), back, sums = FUNCTIONS[name]
    limits = {"OMP_NUM_THREADS": str(threads), "FASTDROP_NUM_THREADS": str(threads)}
    arguments = map(str, (threads, p, options, parameters, ROWS, COLUMNS))
    output, _ = python("-c", PROGRAM, name, *arguments, **limits)
    forward, backward = map(int, output.split())
    varies = p == "None"
    assert -ALLOWED <= forward - large * ARRAY - statistics * STATISTIC <= ALLOWED + scratch(0, varies)
    assert -ALLOWED <= backward - back * ARRAY - sums * PARAMETER <= ALLOWED + scratch(sums, varies)
    assert scratch(sums, varies) < ARRAY / 32  # of rows by the ten thousand
