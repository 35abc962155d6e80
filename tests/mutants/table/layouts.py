# SPDX-License-Identifier: BSD-3-Clause
"""Faults of where elements lie: strides, byte orders, transposed arrays, arrays of others."""

from ..mutant import mutant

STRIDED, TRANSPOSED, COPY = (
    f"csrc/runtime/{name}.cpp" for name in ("run_strided", "run_transposed", "strided_copy")
)

MUTANTS = (
    mutant("bytes-are-not-swapped", COPY, "if (swapped) item = reversed(item);", "", "tests/test_layouts.py"),
    mutant(
        "swapped-arrays-count-as-native",
        STRIDED,
        "return aligned && !operands_[operand]->swapped;",
        "return aligned;",
        "tests/test_layouts.py",
    ),
    mutant(
        "transposed-arrays-count-as-native",
        TRANSPOSED,
        "info.access == kFull && !operand.swapped &&",
        "info.access == kFull &&",
        "tests/test_transposed.py",
        "tests/test_any_layout.py",
    ),
    mutant(
        "decisions-in-the-order-of-memory",
        TRANSPOSED,
        "start += first * order_.axis(at).index_stride,",
        "start += first * order_.axis(at).item_stride,",
        "tests/test_transposed.py",
    ),
    mutant(
        "columns-are-packed-backwards",
        TRANSPOSED,
        "eight += rows[row * kTransposeSide + at] << row;",
        "eight += rows[row * kTransposeSide + at] << (7 - row);",
        "tests/test_transposed.py",
    ),
    mutant(
        "what-is-left-beside-squares-is-not-copied",
        COPY,
        "rest.read.length -= reads;",
        "rest.read.length -= reads + (reads > 0 && rest.read.length > reads);",
        "tests/test_layouts.py",
        "tests/test_any_layout.py",
    ),
    mutant(
        "strides-of-the-buffer-for-the-array",
        STRIDED,
        "strided_copy({rank_, shape, back ? contiguous : own, back ? own : contiguous,",
        "strided_copy({rank_, shape, back ? contiguous : own, contiguous,",
        "tests/test_layouts.py",
    ),
    mutant(
        "every-block-has-the-first-p",
        STRIDED,
        "cut_varying(request.mask.p, kP);",
        "",
        "tests/test_array_p.py",
        "tests/test_any_layout.py",
    ),
    mutant(
        "an-axis-without-length-has-a-stride",
        "python/fastdrop/_windows.py",
        "strides.append(0 if length == 1 else stride)",
        "strides.append(stride)",
        "tests/test_noise_shape.py",
    ),
    mutant(
        "memory-of-others-has-strides-in-bytes",
        "csrc/bindings/memory.cpp",
        "stride = static_cast<std::int64_t>(items * bytes);",
        "stride = static_cast<std::int64_t>(is_contiguous ? items * bytes : items);",
        "tests/test_memory_addresses.py",
    ),
    mutant(
        "rows-of-processes-overlap",
        "python/fastdrop/mpi.py",
        "min(number, remainder) for number in (rank, rank + 1))",
        "max(number, remainder) for number in (rank, rank + 1))",
        "tests/test_mpi_windows.py",
    ),
)
