# SPDX-License-Identifier: BSD-3-Clause
"""Faults of softmax with dropout, attention, the logarithm of softmax, and the cross entropy."""

from ..mutant import alike, mutant

ROWS = "csrc/kernels/rows"
SOFTMAX, SOFTMAX_DROPOUT = f"{ROWS}/softmax.h", f"{ROWS}/softmax_dropout.h"
ENTROPY = f"{ROWS}/cross_entropy.h"
OF_SOFTMAX = "python/fastdrop/reference/softmax.py"
SCORES, ATTENTION = "tests/test_softmax_values.py", "tests/test_attention.py"
GRADIENTS, CLASSES = "tests/test_fused_gradients.py", "tests/test_cross_entropy.py"

MUTANTS = (
    alike(
        "lse-without-the-maximum",
        [
            (SOFTMAX, "return (Compute)((double)shift() + logarithm());", "return (Compute)logarithm();"),
            (
                OF_SOFTMAX,
                "lse = (softmax.shift.astype(np.float64) + softmax.logarithm)",
                "lse = softmax.logarithm",
            ),
        ],
        SCORES,
        ATTENTION,
    ),
    alike(
        "powers-without-the-maximum",
        [
            (SOFTMAX, "return has_largest() ? largest : 0; }", "return 0; }"),
            (
                OF_SOFTMAX,
                "self.shift = np.where(largest == -np.inf, z.dtype.type(0), largest)",
                "self.shift = np.zeros_like(largest)",
            ),
        ],
        SCORES,
    ),
    alike(
        "gradient-of-scores-without-the-factor",
        [
            (
                SOFTMAX_DROPOUT,
                "(weight * (gradient - all_sum)) * factor, place, non_temporal);",
                "weight * (gradient - all_sum), place, non_temporal), (void)factor;",
            ),
            (
                OF_SOFTMAX,
                "return (rounded((wide * (gradient - total)) * wide.dtype.type(factor), dy.dtype),)",
                "return (rounded(wide * (gradient - total), dy.dtype),)",
            ),
        ],
        SCORES,
        GRADIENTS,
        "tests/test_softmax.py",
    ),
    alike(
        "a-row-sees-one-more",
        [
            (
                SOFTMAX_DROPOUT,
                "(uint64_t)args.constants[kVisible] + (args.first_row",
                "(uint64_t)args.constants[kVisible] + 1 + (args.first_row",
            ),
            (
                OF_SOFTMAX,
                "np.arange(z.shape[-1]) < visible + row, z.shape)",
                "np.arange(z.shape[-1]) <= visible + row, z.shape)",
            ),
        ],
        "tests/test_softmax_masks.py",
        ATTENTION,
    ),
    mutant(
        "a-block-of-attention-sees-one-more",
        "python/fastdrop/fused/_attention_blocks.py",
        "visible = block.rows.start + 1.0 if",
        "visible = block.rows.start + 2.0 if",
        ATTENTION,
    ),
    mutant(
        "every-row-of-a-matrix-sees-alike",
        SOFTMAX_DROPOUT,
        "(args.first_row + row) % args.matrix_rows;",
        "(args.first_row + row) % args.matrix_rows / 2;",
        "tests/test_fused_rows.py",
        "tests/test_softmax_masks.py",
    ),
    alike(
        "gradient-of-softmax-without-its-sum",
        [
            (
                SOFTMAX_DROPOUT,
                "sum.add(offset, zero_beyond(gradient * weight, place), place);",
                "sum.add(offset, zero_beyond(gradient * weight * Lanes::broadcast(0), place), place);",
            ),
            (
                OF_SOFTMAX,
                "total = row_sums(gradient * wide)[..., np.newaxis]",
                "total = row_sums(0 * gradient * wide)[..., np.newaxis]",
            ),
        ],
        SCORES,
        GRADIENTS,
    ),
    alike(
        "gradient-of-attention-without-delta",
        [
            (SOFTMAX_DROPOUT, "(weight * (gradient - spread(all_delta, place)))", "(weight * gradient)"),
            (OF_SOFTMAX, "(weights * (gradient - delta[..., np.newaxis]))", "(weights * gradient)"),
        ],
        ATTENTION,
    ),
    alike(
        "the-target-is-the-class-before",
        [
            (
                ENTROPY,
                "const auto place_of_target = (int64_t)target;",
                "const auto place_of_target = target > 0 ? (int64_t)target - 1 : 0;",
            ),
            (
                OF_SOFTMAX,
                "is_target = np.arange(z.shape[-1]) == np.trunc(place)",
                "is_target = np.arange(z.shape[-1]) == np.trunc(np.where(place > 0, place - 1, place))",
            ),
        ],
        f"{CLASSES}::test_losses_and_gradients_are_exact_up_to_their_roundings",
        f"{CLASSES}::test_the_gradient_is_the_slope_of_the_loss",
    ),
    alike(
        "gradient-of-the-target-without-its-1",
        [
            (ENTROPY, "(weight - Lanes::broadcast(1)) * scale, 1);", "weight * scale, 1);"),
            (
                OF_SOFTMAX,
                "np.where(is_target, softmax.weights - one, softmax.weights)",
                "(softmax.weights + 0 * one)",
            ),
        ],
        f"{CLASSES}::test_losses_and_gradients_are_exact_up_to_their_roundings",
        f"{CLASSES}::test_the_gradient_is_the_slope_of_the_loss",
    ),
    alike(
        "gradient-of-the-logarithm-without-its-sum",
        [
            (
                ENTROPY,
                "- weight * spread(total, place),",
                "- weight + spread(total, place) * spread(Lanes::broadcast(0), place),",
            ),
            (
                OF_SOFTMAX,
                "_weight_of(widened(y)) * row_sums(wide)[..., np.newaxis]",
                "_weight_of(widened(y)) + 0 * row_sums(wide)[..., np.newaxis]",
            ),
        ],
        f"{SCORES}::test_the_gradient_of_log_softmax_is_its_slope",
    ),
)
