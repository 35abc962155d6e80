# SPDX-License-Identifier: BSD-3-Clause
"""Faults of who is kept: generators, counters, thresholds, ties, windows, and who shares a decision."""

from ..mutant import alike, mutant

GENERATORS, KEEP, THRESHOLD = "csrc/kernels/generators.h", "csrc/kernels/keep.h", "csrc/runtime/threshold.h"
REFERENCE = "python/fastdrop/reference/dropout.py"
ANSWERS, EXACT = "tests/test_known_answers.py", "tests/test_exact_probability.py"
WINDOWS, OPERATIONS = "tests/test_windows.py", "tests/test_operations.py"

MUTANTS = (
    alike(
        "philox-of-9-rounds",
        [
            (GENERATORS, "static constexpr int rounds = 10;", "static constexpr int rounds = 9;"),
            (REFERENCE, "rounds: int = 10", "rounds: int = 9"),
        ],
        ANSWERS,
    ),
    alike(
        "ars-of-6-rounds",
        [
            (GENERATORS, "static constexpr int rounds = 7;", "static constexpr int rounds = 6;"),
            (REFERENCE, "rounds: int = 7", "rounds: int = 6"),
        ],
        ANSWERS,
    ),
    alike(
        "philox-keys-advance-in-another-order",
        [
            (
                GENERATORS,
                "k0 += 0x9E3779B9;\n      k1 += 0xBB67AE85;",
                "k0 += 0xBB67AE85;\n      k1 += 0x9E3779B9;",
            ),
            (
                REFERENCE,
                "k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32",
                "k0, k1 = (k0 + 0xBB67AE85) % 2**32, (k1 + 0x9E3779B9) % 2**32",
            ),
        ],
        ANSWERS,
    ),
    alike(
        "ars-keys-do-not-advance",
        [
            (GENERATORS, "high += 0xBB67AE8584CAA73B;", "high += 0;"),
            (REFERENCE, "high = (high + 0xBB67AE8584CAA73B) % 2**64", "high = high % 2**64"),
        ],
        ANSWERS,
    ),
    alike(
        "upper-half-of-the-index-is-dropped",
        [
            (
                GENERATORS,
                "State::broadcast((tile + v / kTileVectors) * kTileBlocks, 0) ^",
                "State::broadcast((tile + v / kTileVectors) * kTileBlocks & 0xFFFFFFFF, 0) ^",
            ),
            (REFERENCE, "counter[..., 1] = index >> np.uint64(32)", "counter[..., 1] = 0"),
        ],
        ANSWERS,
    ),
    alike(
        "stream-is-dropped",
        [
            (KEEP, "counters_(run.keep.stream)", "counters_(run.keep.stream & ~0xFFFFFFFFull)"),
            (REFERENCE, "counter[..., 2] = stream % 2**32", "counter[..., 2] = 0"),
        ],
        ANSWERS,
    ),
    alike(
        "upper-half-of-the-stream-is-dropped",
        [
            (KEEP, "counters_(run.keep.stream)", "counters_(run.keep.stream & 0xFFFFFFFF)"),
            (REFERENCE, "counter[..., 3] = stream >> 32 | use << 31", "counter[..., 3] = use << 31"),
        ],
        ANSWERS,
    ),
    alike(
        "a-tied-element-is-kept",
        [
            (
                KEEP,
                "if (lower_bits(tile * kTileElements + element) < low)",
                "if (false && lower_bits(tile + element) < low)",
            ),
            (REFERENCE, "kept[tied] = lower >= np.uint64(low)", "kept[tied] = lower >= 0"),
        ],
        EXACT,
    ),
    alike(
        "a-tied-element-is-dropped",
        [
            (
                KEEP,
                "if (lower_bits(tile * kTileElements + element) < low)",
                "if (true || lower_bits(tile + element) < low)",
            ),
            (REFERENCE, "kept[tied] = lower >= np.uint64(low)", "kept[tied] = lower < 0"),
        ],
        EXACT,
    ),
    alike(
        "the-threshold-itself-is-dropped",
        [
            (KEEP, "element) < low) keep.drop(element);", "element) <= low) keep.drop(element);"),
            (REFERENCE, "kept[tied] = lower >= np.uint64(low)", "kept[tied] = lower > np.uint64(low)"),
        ],
        EXACT,
    ),
    alike(
        "ties-use-the-counter-of-blocks",
        [
            (
                KEEP,
                "State::counters(index, args_.stream | 1ull << 63)",
                "State::counters(index, args_.stream)",
            ),
            (REFERENCE, "counter[..., 3] = stream >> 32 | use << 31", "counter[..., 3] = stream >> 32"),
        ],
        EXACT,
    ),
    alike(
        "words-of-a-tie-are-swapped",
        [
            (KEEP, "(v[0] | (uint64_t)(v[1] & 0xFFFF) << 32)", "(v[1] | (uint64_t)(v[0] & 0xFFFF) << 32)"),
            (
                REFERENCE,
                "words[..., 0] | (words[..., 1] & np.uint64(0xFFFF))",
                "words[..., 1] | (words[..., 0] & np.uint64(0xFFFF))",
            ),
        ],
        EXACT,
    ),
    mutant(
        "ties-forget-the-upper-half-of-the-index",
        KEEP,
        "State::counters(index, args_.stream | 1ull << 63)",
        "State::counters(index & 0xFFFFFFFF, args_.stream | 1ull << 63)",
        "tests/test_far_masks.py",
    ),
    alike(
        "p-of-8-bits",
        [
            (THRESHOLD, ": bound >> 48),", ": bound >> 48 & 0xFF00),"),
            (REFERENCE, "high, low = divmod(bound, 2**48)", "high, low = bound >> 56 << 8, bound % 2**48"),
        ],
        EXACT,
    ),
    alike(
        "p-of-16-bits",
        [
            (THRESHOLD, ": bound & ((std::uint64_t{1} << 48) - 1)};", ": 0};"),
            (REFERENCE, "high, low = divmod(bound, 2**48)", "high, low = bound >> 48, 0"),
        ],
        EXACT,
    ),
    alike(
        "a-probability-of-keeping-is-rounded-to-p",
        [
            (
                THRESHOLD,
                "const double sixteenths = std::fabs(rate) * 0x1p16;",
                "rate = rate < 0 ? 1 + rate : rate;\n  const double sixteenths = rate * 0x1p16;",
            ),
            (REFERENCE, "return 2**64 - threshold(keep_prob)", "return threshold(1 - keep_prob)"),
        ],
        "tests/test_keep_prob.py",
    ),
    mutant(
        "four-words-for-eight-elements",
        REFERENCE,
        "(flat & np.uint64(7)).astype(np.intp)",
        "(flat & np.uint64(3)).astype(np.intp)",
        ANSWERS,
    ),
    mutant("words-of-16-bits-are-swapped", REFERENCE, '.view("<u2")', '.view(">u2")', ANSWERS),
    mutant(
        "registers-share-their-words",
        KEEP,
        ".vectors[(first + v) % kTileVectors] = as_blocks(state[v]);",
        ".vectors[(first + v) % kTileVectors] = as_blocks(state[v & ~1]);",
        OPERATIONS,
    ),
    mutant(
        "a-sequence-does-not-end-at-2-to-the-43",
        GENERATORS,
        "max_tiles = (1ull << 40) / kTileBlocks;",
        "max_tiles = (1ull << 60) / kTileBlocks;",
        "tests/test_far_masks.py",
    ),
    mutant(
        "a-sequence-keeps-its-first-group",
        GENERATORS,
        "if (is_shared_ && place == 0 && first_vector == 0) begin_group(tile);",
        "if (is_shared_ && place == 0 && first_vector == 0 && false) begin_group(tile);",
        OPERATIONS,
        "tests/test_thread_counts.py",
    ),
    mutant(
        "a-tail-uses-the-first-words-again",
        "csrc/kernels/loops.h",
        "rule.convert(rule.template draw<1>(tile).tiles[0], tile, variates);",
        "rule.convert(rule.template draw<1>(args.start / kTileElements).tiles[0], tile, variates);",
        OPERATIONS,
    ),
    mutant(
        "rows-of-a-window-begin-at-its-start",
        "csrc/runtime/rows.h",
        "std::uint64_t index = start_ + position % length_ * stride_;",
        "std::uint64_t index = start_ + position % length_;",
        WINDOWS,
        "tests/test_noise_shape.py",
    ),
    mutant(
        "axes-are-merged-that-do-not-continue",
        "csrc/runtime/rows.h",
        "stride == strides_[rank_ - 1] * lengths_[rank_ - 1])",
        "stride >= strides_[rank_ - 1] * lengths_[rank_ - 1])",
        WINDOWS,
    ),
    mutant(
        "a-window-that-runs-backwards-runs-forwards",
        "python/fastdrop/_windows.py",
        "tuple(stride * axis.step if len(axis) > 1 else 0",
        "tuple(stride * abs(axis.step) if len(axis) > 1 else 0",
        WINDOWS,
    ),
    mutant(
        "reversed-decisions-are-read-forwards",
        "csrc/runtime/gather.cpp",
        "bytes[done + i] = lowest[extent - i * step];",
        "bytes[done + i] = lowest[i * step];",
        WINDOWS,
    ),
    mutant(
        "a-shared-decision-begins-anew-in-every-block",
        "csrc/runtime/gather.cpp",
        "write(std::min(repeat - skip, count));",
        "write(std::min(repeat, count));",
        "tests/test_shared_rows.py",
        "tests/test_noise_shape.py",
    ),
    mutant(
        "thresholds-come-an-element-late",
        "csrc/runtime/varying_table.cpp",
        "keep.varying_high = high_.get() + kMargin + positions_.place(position);",
        "keep.varying_high = high_.get() + kMargin - 1 + positions_.place(position);",
        "tests/test_varying_p.py",
    ),
    mutant(
        "stored-bits-begin-with-a-byte",
        "csrc/runtime/keep_bits.cpp",
        "return index % 8;",
        "return 0;",
        "tests/test_fused_rows_masks.py",
    ),
    mutant(
        "the-last-bits-are-lost",
        "python/fastdrop/_stored.py",
        'bits[done:] = np.packbits(rest, bitorder="little")',
        "bits[done:] = 0",
        "tests/test_stored.py",
    ),
    mutant(
        "blocks-are-an-element-short",
        "csrc/runtime/block_mask.cpp",
        "const std::uint64_t more = std::min(dropped, side - dropped);",
        "const std::uint64_t more = std::min(dropped, side - dropped) - (2 * dropped >= side);\n"
        "      if (more == 0) break;",
        "tests/test_draw_blocks.py",
    ),
    mutant(
        "blocks-are-drawn-with-p",
        "python/fastdrop/kinds/drop_block.py",
        "gamma = _core.with_subnormals(operator.mul, p, blocks.gamma_over_p)",
        "gamma = p",
        "tests/test_kind_statistics.py",
        "tests/test_kinds.py",
    ),
)
