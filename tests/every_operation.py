# SPDX-License-Identifier: BSD-3-Clause
"""Every operation of the core on every dtype, mask, layout and size: what valgrind watches.

``python tests/every_operation.py ISA`` judges no result: the tests do. It only reads each, so that a byte
which depends on memory that nobody has written is seen. The arrays are as large as their values, so that a
read past their end is seen.
"""

import sys
import zlib

import numpy as np

import fastdrop
from arrays import ALL_LAYOUTS, DTYPES
from every_call import digest_of_all
from fastdrop import _core
from operations import OPERATIONS, WITH_INPUTS, twins, twins_of_a_form
from row_operations import ROW_OPERATIONS

# Around the tiles, of 32 elements in the portable kernels and of 64 in AVX2's, and around strips.
SHAPES = [(1,), (7,), (31,), (33,), (63,), (65,), (131,), (5, 13), (3, 70)]
ROWS = [(1, 1), (2, 7), (3, 33), (2, 65), (2, 131)]
WINDOWS = [np.s_[1:], np.s_[::2], np.s_[::-1], np.s_[:, 3:], np.s_[:, ::-2]]


def masks(operation, shape):
    """Every form, where the decision is shared or p varies along no axis and along each."""
    for generator in _core.generators:
        options = {"generator": generator}
        for form in operation.forms:
            if form == "stored":
                yield twins_of_a_form(form, shape, 0.3, ())[0]
                continue
            for axes in [(), *((axis,) for axis in range(len(shape)) if form != "drawn")]:
                yield twins_of_a_form(form, shape, 0.3, axes, **options)[0]


def of_elements():
    for operation in OPERATIONS.values():
        for dtype in operation.dtypes:
            for shape in SHAPES:
                for mask in masks(operation, shape):
                    yield from operation.results(mask, operation.inputs(shape, dtype))


def of_windows():
    shape = (4, 70)
    for operation in OPERATIONS.values():
        for mask in masks(operation, shape):
            for window in WINDOWS:
                part = mask[window]
                yield from operation.results(part, operation.inputs(part.shape, operation.dtypes[-1]))


def of_layouts():
    shape = (5, 70)
    for operation in WITH_INPUTS.values():
        for dtype in DTYPES:
            inputs = operation.inputs(shape, dtype)
            for layout in ALL_LAYOUTS.values():
                for mask in masks(operation, shape):
                    yield operation.call(mask, [layout(inputs[0]), *inputs[1:]])


def of_rows():
    for operation in ROW_OPERATIONS.values():
        for dtype in DTYPES:
            for shape in ROWS:
                for choice in operation.choices():
                    yield from operation.call(twins(shape)[0], operation.inputs(shape, dtype, choice), choice)


if __name__ == "__main__":
    fastdrop.use_isa(sys.argv[1])
    count, _ = digest_of_all()
    for part in (of_elements, of_windows, of_layouts, of_rows):
        for result in part():
            if result is not None:
                zlib.crc32(np.asarray(result).tobytes())
            count += 1
    print(f"every operation: {count} results on {fastdrop.isa()}")
