# SPDX-License-Identifier: BSD-3-Clause
"""Forward and backward allocate their outputs: no mask, no copy and no scratch array beside them."""

import pytest

from processes import python

pytestmark = pytest.mark.slow  # processes of their own, and arrays of 256 MiB

SIZE = 2**24
ARRAY = 4 * SIZE  # bytes of float32: 64 MiB; a mask of one bit an element would take 2 MiB
# The promise. What else is counted is less: one more page at each end of an output, the pages of its stack
# that a worker touches, and what the kernel adds up late, some dozen pages for each processor in use.
ALLOWED = 2**20

# 5, written to clear_refs, sets the peak of the resident memory to what is resident (proc_pid_clear_refs(5)).
PROGRAM = """
import sys, numpy as np, fastdrop

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

how, layout, threads, size = *sys.argv[1:3], *map(int, sys.argv[3:])
assert fastdrop.get_num_threads() == threads
x = np.ones(size, np.float32)
if layout == "transposed":
    x = x.reshape(2**13, -1).T
y = dx = None
if how == "out=":
    y, dx = np.ones(x.shape, np.float32), np.ones(x.shape, np.float32)
elif how == "in place":
    y = dx = x
fastdrop.Mask(2**20, 0.1, seed=0).to_numpy()  # large enough to hire the threads
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
y, mask = fastdrop.dropout(x, 0.1, rng=0, out=y)
dx = fastdrop.dropout_backward(x, mask, out=dx)
print(status("VmHWM") - before)
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", ["plain", "transposed"])
@pytest.mark.parametrize(("how", "new_arrays"), [("out=None", 2), ("out=", 0), ("in place", 0)])
def test_the_peak_of_memory_is_that_of_the_outputs(how, new_arrays, layout, threads):
    limits = {"OMP_NUM_THREADS": str(threads), "FASTDROP_NUM_THREADS": str(threads)}
    output, _ = python("-c", PROGRAM, how, layout, str(threads), str(SIZE), **limits)
    beside = int(output) - new_arrays * ARRAY
    assert abs(beside) <= ALLOWED  # far less than the outputs would be a measure that sees nothing
