# SPDX-License-Identifier: BSD-3-Clause
"""Faults of what becomes of a value: scale, select, rounding, and the kinds that do more."""

from ..mutant import alike, mutant

NOISE, ALPHA = "python/fastdrop/reference/noise.py", "python/fastdrop/kinds/alpha.py"
OPERATIONS = "python/fastdrop/reference/operations.py"
NORMALS = "csrc/kernels/normals.h"

MUTANTS = (
    alike(
        "scale-of-a-float32",
        [
            (
                "csrc/runtime/threshold.h",
                "const double keep = rate < 0 ? -rate : 1 - rate;",
                "const float keep = static_cast<float>(rate < 0 ? -rate : 1 - rate);",
            ),
            (
                "python/fastdrop/reference/dropout.py",
                "self.scale = 1.0 / self.keep_prob if",
                "self.scale = 1.0 / self.keep_prob.astype(np.float32).astype(np.float64) if",
            ),
        ],
        "tests/test_scale.py",
    ),
    mutant(
        "what-is-dropped-is-multiplied-by-0",
        OPERATIONS,
        "return np.where(keep, scaled(x, scale), np.zeros((), x.dtype))",
        "return scaled(scaled(x, scale), keep.astype(computed_with(x.dtype)))",
        "tests/test_special_values.py",
    ),
    mutant(
        "everything-kept-is-multiplied",
        "csrc/runtime/run.cpp",
        "if (keeps_all && calls_.copies_bits(args)) return calls_.copy(first, last);",
        "if (keeps_all && false) return calls_.copy(first, last);",
        "tests/test_special_values.py",
    ),
    mutant(
        "bfloat16-is-cut-off",
        "csrc/kernels/vec/scalar.h",
        "return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);",
        "return (uint16_t)(bits >> 16);",
        "tests/test_special_values.py",
        "tests/test_operations.py",
    ),
    mutant(
        "bfloat16-rounds-ties-away",
        OPERATIONS,
        "bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))",
        "bits + np.uint32(0x8000)",
        "tests/test_special_values.py",
    ),
    alike(
        "alpha-dropout-shifts-first",
        [
            (
                "csrc/kernels/ops/alpha_dropout.h",
                "to_storage(x * scale + shift)",
                "to_storage((x + shift) * scale)",
            ),
            (OPERATIONS, "widened(x) * scale + shift", "(widened(x) + shift) * scale"),
        ],
        "tests/test_alpha.py",
    ),
    alike(
        "alpha-dropout-has-another-slope",
        [
            (
                ALPHA,
                "a = 1 / math.sqrt((1 - p) * (1 + p * (_ALPHA_PRIME * _ALPHA_PRIME)))",
                "a = 1 / math.sqrt((1 - p) + p * (_ALPHA_PRIME * _ALPHA_PRIME))",
            ),
            (
                NOISE,
                "a = 1 / math.sqrt((1 - p) * (1 + p * (ALPHA_PRIME * ALPHA_PRIME)))",
                "a = 1 / math.sqrt((1 - p) + p * (ALPHA_PRIME * ALPHA_PRIME))",
            ),
        ],
        "tests/test_alpha.py",
    ),
    alike(
        "gaussian-noise-of-deviation-p",
        [
            ("python/fastdrop/kinds/gaussian.py", "math.sqrt(p / (1 - p))", "math.sqrt(p)"),
            (NOISE, "deviation=math.sqrt(self.p / (1 - self.p))", "deviation=math.sqrt(self.p)"),
        ],
        "tests/test_gaussian.py",
    ),
    alike(
        "gaussian-noise-is-added",
        [
            (
                "csrc/kernels/ops/gaussian_dropout.h",
                "x * (Lanes::broadcast(1) + deviation * Lanes::load_float32(normals.values + first))",
                "x + deviation * Lanes::load_float32(normals.values + first)",
            ),
            (
                OPERATIONS,
                "return scaled(x, one + deviation * normals.astype(deviation.dtype))",
                "return rounded(widened(x) + one * deviation * normals.astype(deviation.dtype), x.dtype)",
            ),
        ],
        "tests/test_gaussian.py",
        "tests/test_gradients.py",
    ),
    alike(
        "normal-numbers-of-half-a-turn",
        [
            (NORMALS, "words[second] & 0x80000000;", "words[second] & 0;"),
            (
                NOISE,
                "half_turn = np.where(word >> np.uint32(31), np.float32(-1), np.float32(1))",
                "half_turn = np.float32(1)",
            ),
        ],
        "tests/test_normals.py",
        "tests/test_gaussian.py",
    ),
    alike(
        "normal-numbers-lose-the-logarithm-of-2",
        [
            (NORMALS, "(float)(int32_t)(31 - e) * 0x1.62e43p+0f", "(float)(int32_t)(31 - e) * 0x1.62e4p+0f"),
            (NOISE, "halvings * TWICE_LN_2 +", 'halvings * np.float32(float.fromhex("0x1.62e4p+0")) +'),
        ],
        "tests/test_normals.py",
    ),
    alike(
        "normal-numbers-share-words-with-decisions",
        [
            (NORMALS, "kFirstBlocks = (1ull << 63) / kTileBlocks;", "kFirstBlocks = 0;"),
            (NOISE, "counter_from(block | np.uint64(2**63), stream, 0)", "counter_from(block, stream, 0)"),
        ],
        "tests/test_normals.py",
    ),
    mutant(
        "subnormal-numbers-are-what-the-caller-wants",
        "csrc/runtime/floating_point.h",
        "if (saved_ != kDefault) _mm_setcsr(kDefault);",
        "if (saved_ != kDefault) _mm_setcsr(saved_);",
        "tests/test_threads.py",
    ),
    mutant(
        "a-negative-p-scales-by-p",
        "python/fastdrop/_values.py",
        "return -rate if rate < 0 else 1.0 - rate",
        "return 1.0 + rate if rate < 0 else 1.0 - rate",
        "tests/test_keep_prob.py",
    ),
)
