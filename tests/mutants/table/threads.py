# SPDX-License-Identifier: BSD-3-Clause
"""Faults that threads bring out."""

from ..mutant import mutant

SUMS, POOL = "csrc/runtime/column_sums.cpp", "csrc/runtime/thread_pool.cpp"
COUNTS, ROWS_SUMS = "tests/test_thread_counts.py", "tests/test_fused_rows_sums.py"
ANY_COUNT = f"{ROWS_SUMS}::test_the_number_of_threads_does_not_matter"

MUTANTS = (
    mutant(
        "sums-are-joined-as-they-come",
        SUMS,
        "for (std::uint64_t step = 1; step < task_count_; step *= 2)\n"
        "      for (std::uint64_t task = 0; task + step < task_count_; task += 2 * step)\n"
        "        add(node(task, 0), node(task + step, 0));",
        "for (std::uint64_t task = task_count_ - 1; task > 0; --task) add(node(0, 0), node(task, 0));",
        f"{ROWS_SUMS}::test_several_threads_have_the_bits_of_the_reference",
        ROWS_SUMS,
    ),
    mutant(
        "blocks-of-a-task-are-joined-in-a-row",
        SUMS,
        "(block_of_task & bit) != 0; bit *= 2, --depth)",
        "(block_of_task & bit) != 0 && bit < 2; bit *= 2, --depth)",
        f"{ROWS_SUMS}::test_the_error_of_sums_over_rows",
    ),
    mutant(
        "the-last-task-is-not-joined",
        SUMS,
        "task + step < task_count_; task += 2 * step)",
        "task + step < task_count_ - (task_count_ > 2); task += 2 * step)",
        ROWS_SUMS,
    ),
    mutant(
        "a-block-goes-on-with-the-sum-before",
        SUMS,
        "std::memset(sums, 0, bytes);",
        "if (block_of_task == 0) std::memset(sums, 0, bytes);",
        ROWS_SUMS,
    ),
    mutant(
        "the-last-chunk-is-lost",
        "csrc/runtime/run.cpp",
        "run_part(boundary(chunk), boundary(chunk + 1)",
        "run_part(boundary(chunk), boundary(chunk + (chunk == 0 || chunk + 1 < chunk_count))",
        COUNTS,
    ),
    mutant(
        "chunks-begin-within-a-tile",
        "csrc/runtime/run.cpp",
        "return std::min(element_count(), tiles * static_cast<std::uint64_t>(at) /",
        "return std::min(element_count() - (at > 0), tiles * static_cast<std::uint64_t>(at) /",
        COUNTS,
    ),
    mutant(
        "threads-share-their-scratch",
        "csrc/runtime/run.cpp",
        "&scratch[thread]",
        "&scratch[0]",
        COUNTS,
    ),
    mutant(
        "no-signal-ends-a-call",
        "csrc/runtime/interrupt.h",
        "if (now < next_) return false;",
        "return false;",
        "tests/test_interrupts.py",
    ),
    mutant(
        "blocks-lie-on-the-stack",
        "csrc/runtime/run.cpp",
        "  const auto run_chunk = [&](int chunk, int thread) {\n",
        "  const auto run_chunk = [&](int chunk, int thread) {\n    volatile char on_the_stack[8192];\n"
        "    on_the_stack[0] = 1;\n",
        "tests/test_stack.py",
    ),
    mutant(
        "chunks-of-blocks-leave-one-out",
        "csrc/runtime/run_strided.cpp",
        "job.run_blocks(job.block_count() * at / count, job",
        "job.run_blocks(job.block_count() * at / count + (at > 0), job",
        COUNTS,
    ),
    mutant(
        "a-child-takes-its-parents-threads",
        POOL,
        "pool = new (place) Pool;",
        "static_cast<void>(place);",
        "tests/test_workers.py",
    ),
    mutant(
        "a-task-of-rows-takes-the-rows-of-the-next",
        "csrc/runtime/run_rows.cpp",
        "run_whole_rows(row_count_ * task / task_count_, row_count_ * (task + 1) / task_count_,",
        "run_whole_rows(row_count_ * task / task_count_ + (task > 0), row_count_ * (task + 1) / task_count_,",
        ANY_COUNT,
    ),
)
