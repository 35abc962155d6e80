# SPDX-License-Identifier: BSD-3-Clause
"""Faults of fused operations: sums, bias and activation, residual, norms."""

from ..mutant import alike, mutant

ROWS = "csrc/kernels/rows"
NORM, BIAS, STRIPS = f"{ROWS}/dropout_add_norm.h", f"{ROWS}/bias_dropout_add.h", f"{ROWS}/strips.h"
FUNCTIONS, ACTIVATIONS = "csrc/kernels/functions.h", "csrc/kernels/activations.h"
OF_ROWS, OF_FUNCTIONS, OF_SUMS = (
    f"python/fastdrop/reference/{name}.py" for name in ("fused", "functions", "sums")
)
TEXTBOOK, GRADIENTS = "tests/test_fused_reference.py", "tests/test_fused_gradients.py"
BITS, SUMS = "tests/test_fused_rows.py", "tests/test_fused_rows_sums.py"
EXACT = "tests/test_functions.py::test_errors_are_within_the_bounds_of_the_document"

MUTANTS = (
    # --- Sums -----------------------------------------------------------------------------------------
    mutant(
        "partial-sums-are-folded-by-neighbours",
        STRIPS,
        "for (int i = 0; i < half; ++i) part_[i] = part_[i] + part_[i + half];",
        "for (int i = 0; i < half; ++i) part_[i] = part_[2 * i] + part_[2 * i + 1];",
        BITS,
    ),
    mutant(
        "a-row-is-summed-in-16-parts",
        OF_SUMS,
        "PARTIAL_SUMS = 32",
        "PARTIAL_SUMS = 16",
        TEXTBOOK,
        BITS,
    ),
    mutant(
        "columns-are-summed-by-32-rows",
        OF_SUMS,
        "BLOCK_ROWS = 64",
        "BLOCK_ROWS = 32",
        TEXTBOOK,
    ),
    mutant(
        "column-sums-are-joined-in-a-row",
        OF_SUMS,
        "sums = [first + second for first, second in zip(sums[::2], sums[1::2], strict=False)] + last",
        "sums = [sums[0] + sums[1], *sums[2:]] + 0 * last",
        TEXTBOOK,
        SUMS,
    ),
    mutant(
        "what-is-beyond-a-row-is-summed",
        STRIPS,
        "return zero_unless_bits((1u << lanes.count) - 1, a);",
        "return zero_unless_bits((2u << lanes.count) - 1, a);",
        BITS,
    ),
    # --- Bias, activation, residual -------------------------------------------------------------------
    alike(
        "residual-is-added-before-the-select",
        [
            (
                BIAS,
                "load<Rows>(residual + offset, place) + zero_unless(keep, offset, scaled);",
                "zero_unless(keep, offset, load<Rows>(residual + offset, place) + scaled);",
            ),
            (
                OF_ROWS,
                "dropped = np.where(keep, a * _constant(scale, dtype), dtype.type(0))\n"
                "        return (rounded(_addend(residual, dtype) + dropped, x.dtype),)",
                "a = _addend(residual, dtype) + a * _constant(scale, dtype)\n"
                "        dropped = np.where(keep, a, dtype.type(0))\n"
                "        return (rounded(dropped, x.dtype),)",
            ),
        ],
        TEXTBOOK,
    ),
    mutant(
        "residual-of-a-norm-is-added-before-the-select",
        NORM,
        "load<Rows>(residual + offset, place) + zero_unless(keep, offset, scaled));",
        "zero_unless(keep, offset, load<Rows>(residual + offset, place) + scaled));",
        BITS,
    ),
    alike(
        "bias-is-added-after-the-activation",
        [
            (
                BIAS,
                "const auto t = load<Rows>(x + offset, place) + load<Parameters>(bias + offset, place);\n"
                "        const auto scaled = Activation::value(t) * load<Parameters>(scale + offset, place);",
                "const auto t = load<Rows>(x + offset, place);\n"
                "        const auto biased = Activation::value(t) + load<Parameters>(bias + offset, place);\n"
                "        const auto scaled = biased * load<Parameters>(scale + offset, place);",
            ),
            (
                OF_ROWS,
                "t = widened(x) + _addend(bias, dtype)\n        name = _activation(activation)\n"
                "        a = t if name is None else ACTIVATIONS[name][0](t)",
                "t = widened(x)\n        name = _activation(activation)\n"
                "        a = (t if name is None else ACTIVATIONS[name][0](t)) + _addend(bias, dtype)",
            ),
        ],
        TEXTBOOK,
    ),
    alike(
        "relu-passes-a-gradient-at-0",
        [
            (BIAS, "return selected(t <= Lanes::broadcast(0),", "return selected(t < Lanes::broadcast(0),"),
            (OF_ROWS, "kept = keep & ~(t <= 0)", "kept = keep & ~(t < 0)"),
        ],
        TEXTBOOK,
        "tests/test_fused_laws.py",
    ),
    alike(
        "exponentials-are-an-ulp-too-large",
        [
            (
                FUNCTIONS,
                "return constant<Lanes>(1) + r * (constant<Lanes>(linear) + r * q);",
                "return constant<Lanes>(1 + 1.5 / FunctionConstants<Lanes>::kRounder) + "
                "r * (constant<Lanes>(linear) + r * q);",
            ),
            (
                OF_FUNCTIONS,
                "one, square = r.dtype.type(1), r * r",
                "one, square = r.dtype.type(1) + np.finfo(r.dtype).eps, r * r",
            ),
        ],
        EXACT,
    ),
    alike(
        "derivative-of-gelu-tanh-with-2-for-3",
        [
            (ACTIVATIONS, "(linear + constant<Lanes>(3) * cubic)", "(linear + constant<Lanes>(2) * cubic)"),
            (OF_FUNCTIONS, "(linear + t.dtype.type(3) * cubic)", "(linear + t.dtype.type(2) * cubic)"),
        ],
        EXACT,
        GRADIENTS,
    ),
    alike(
        "derivative-of-gelu-without-the-density",
        [
            (ACTIVATIONS, "normal_tail(x) + x * constant<Lanes>(C::kDensityAtZero);", "normal_tail(x);"),
            (
                OF_FUNCTIONS,
                "both = _normal_tail(x) + x * t.dtype.type(constants.density_at_zero)",
                "both = _normal_tail(x)",
            ),
        ],
        EXACT,
        GRADIENTS,
    ),
    mutant(
        "values-beyond-the-tables-are-not-computed-apart",
        "csrc/kernels/piecewise.h",
        "return selected(x < last, inside, exact(t));",
        "return selected(x <= x, inside, exact(t));",
        "tests/test_functions.py",
    ),
    mutant(
        "silu-is-gelu",
        BIAS,
        "return work(Silu{});",
        "return work(Gelu{});",
        BITS,
    ),
    # --- Norms ----------------------------------------------------------------------------------------
    alike(
        "variance-from-the-mean-of-squares",
        [
            (
                NORM,
                "square_root(forward.squares(row + i, mean[i]) / columns + eps);",
                "square_root(forward.squares(row + i, 0) / columns - mean[i] * mean[i] + eps);",
            ),
            (
                OF_ROWS,
                "np.sqrt(_mean(centered * centered) + _constant(eps, dtype))",
                "np.sqrt(_mean(wide * wide) - mean * mean + _constant(eps, dtype))",
            ),
        ],
        TEXTBOOK,
    ),
    alike(
        "eps-is-added-to-the-root",
        [
            (
                NORM,
                "1 / square_root(forward.squares(row + i, mean[i]) / columns + eps);",
                "1 / (square_root(forward.squares(row + i, mean[i]) / columns) + eps);",
            ),
            (
                OF_ROWS,
                "np.sqrt(_mean(centered * centered) + _constant(eps, dtype))",
                "(np.sqrt(_mean(centered * centered)) + _constant(eps, dtype))",
            ),
            (
                OF_ROWS,
                "np.sqrt(_mean(wide * wide) + _constant(eps, dtype))",
                "(np.sqrt(_mean(wide * wide)) + _constant(eps, dtype))",
            ),
        ],
        TEXTBOOK,
    ),
    alike(
        "gradient-of-a-norm-without-the-mean",
        [
            (NORM, "of.rstd * ((g - m1) - xhat * m2);", "of.rstd * (g - xhat * m2);"),
            (
                OF_ROWS,
                "((g - _per_row(_mean(g))) - xhat * _per_row(_mean(g * xhat)))",
                "(g - xhat * _per_row(_mean(g * xhat)))",
            ),
        ],
        GRADIENTS,
        TEXTBOOK,
    ),
    alike(
        "gradient-of-a-bias-of-rounded-values",
        [
            (
                NORM,
                "add_to<Parameters>(dx_bias, offset, kept, place);",
                "add_to<Parameters>(dx_bias, offset, Rows::rounded(kept), place);",
            ),
            (
                OF_ROWS,
                "rounded(dresidual, dtype), column_sums(dx)",
                "rounded(dresidual, dtype), column_sums(widened(rounded(dx, dtype)))",
            ),
        ],
        TEXTBOOK,
        SUMS,
    ),
    mutant(
        "gradient-of-a-weight-without-the-norm",
        NORM,
        "add_to<Parameters>(dweight, offset, given * xhat, place);",
        "add_to<Parameters>(dweight, offset, given, place);",
        BITS,
    ),
)
