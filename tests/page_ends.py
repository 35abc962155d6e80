# SPDX-License-Identifier: BSD-3-Clause
"""Every operation on arrays that end where memory ends, and on arrays that begin there.

``python tests/page_ends.py ISA`` prints each case before it runs, and how many there were. A byte that is
read or written beside an array ends the process (SIGSEGV), after the name of the case.
"""

import ctypes
import mmap
import sys

import numpy as np

import fastdrop
from arrays import DTYPES
from operations import WITH_INPUTS
from row_operations import ROW_OPERATIONS, same_numbers

PAGE = mmap.PAGESIZE
PROT_NONE = 0  # mmap(2)
libc = ctypes.CDLL(None, use_errno=True)


class Room:
    """Some pages between two that nobody may touch."""

    def __init__(self, pages):
        self._size = pages * PAGE
        self._memory = mmap.mmap(-1, self._size + 2 * PAGE)
        whole = np.frombuffer(self._memory, np.uint8)
        self._bytes = whole[PAGE:-PAGE]
        address = ctypes.c_void_p(whole.ctypes.data), ctypes.c_void_p(whole[-PAGE:].ctypes.data)
        for guard in address:
            if libc.mprotect(guard, ctypes.c_size_t(PAGE), ctypes.c_int(PROT_NONE)):
                raise OSError(ctypes.get_errno(), "mprotect")

    def hold(self, x, at_end):
        """A copy of the array, whose last byte is the last of the room, or whose first is the first."""
        place = self._bytes[self._size - x.nbytes :] if at_end else self._bytes[: x.nbytes]
        held = place[: x.nbytes].view(x.dtype).reshape(x.shape)
        held[...] = x
        return held


ROOMS = [Room(5) for _ in range(16)]  # more than an operation has operands

# Around one strip, one register of any ISA, one tile and several of them.
SIZES = [1, 2, 3, 5, 7, 13, 31, 33, 63, 65, 127, 129, 193, 257, 385]
STARTS = [0, 1, 77]  # places in a tile


def hold_all(arrays, at_end):
    """Each in a room of its own; what is absent stays so."""
    rooms = iter(ROOMS)
    return [x if x is None or x is False else next(rooms).hold(x, at_end) for x in arrays]


def on_elements():
    for name, operation in WITH_INPUTS.items():
        for dtype in DTYPES:
            for size in SIZES:
                for start in STARTS:
                    mask = fastdrop.Mask(start + size, 0.3, seed=1)[start:]
                    inputs = operation.inputs((size,), dtype)
                    yield f"{name} {dtype} {size} from {start}", operation, mask, inputs
            # Two axes, also turned: squares of registers are transposed.
            for shape in [(3, 37), (17, 5), (33, 65)]:
                mask = fastdrop.Mask(shape, 0.3, seed=1)
                inputs = operation.inputs(shape, dtype)
                yield f"{name} {dtype} {shape}", operation, mask, inputs


def check_elements(operation, mask, inputs):
    wanted = operation.call(mask, inputs)
    for at_end in (True, False):
        *held, out = hold_all([*inputs, np.full_like(inputs[0], 7)], at_end)
        operation.call(mask, held, out)
        assert out.tobytes() == wanted.tobytes()
        operation.call(mask, held, held[0])
        assert held[0].tobytes() == wanted.tobytes()
        if mask.ndim == 2 and len(inputs) == 1:
            turned, out = (x.T for x in hold_all([inputs[0].T, np.full_like(inputs[0].T, 7)], at_end))
            operation.call(mask, [turned], out)
            assert np.ascontiguousarray(out).tobytes() == wanted.tobytes()
            swapped = inputs[0].astype(inputs[0].dtype.newbyteorder())
            swapped, out = hold_all([swapped, np.full_like(inputs[0], 7)], at_end)
            operation.call(mask, [swapped], out)
            assert out.tobytes() == wanted.tobytes()


def on_rows():
    for name, operation in ROW_OPERATIONS.items():
        for dtype in DTYPES:
            for choice in operation.whole_choices():
                for columns in (1, 3, 15, 31, 33, 47, 65, 129):
                    mask = fastdrop.Mask((3, columns), 0.3, seed=1)
                    inputs = operation.inputs((3, columns), dtype, choice)
                    yield f"{name} {dtype} {choice} {columns}", operation, mask, inputs, choice


def check_rows(operation, mask, inputs, choice):
    wanted = operation.call(mask, inputs, choice)
    for at_end in (True, False):
        outputs = [None if y is None else np.full_like(y, 7) for y in wanted]
        arrays = hold_all([*inputs, *outputs], at_end)
        held, outputs = arrays[: len(inputs)], arrays[len(inputs) :]
        names = [operand.name for operand in operation.info.outputs]
        given = {name: out for name, out in zip(names, outputs, strict=True) if out is not None}
        results = operation.call(mask, held, choice, given)
        for result, right in zip(results, wanted, strict=True):
            assert (result is None and right is None) or same_numbers(np.array(result), right)


def main(isa):
    count = 0
    with fastdrop.use_isa(isa), np.errstate(all="ignore"):
        for check, cases in [(check_elements, on_elements()), (check_rows, on_rows())]:
            for name, *case in cases:
                print(name, flush=True)
                check(*case)
                count += 1
    print(count)


if __name__ == "__main__":
    main(sys.argv[1])
