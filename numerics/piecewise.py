# SPDX-License-Identifier: BSD-3-Clause
"""Derives the polynomials that float32 activations are made of, and writes them where they are used.

    python numerics/piecewise.py          # writes the two files
    python numerics/piecewise.py --check  # says whether they are what it would write

The range of ``x = |t|`` is cut into 16 equal intervals around multiples of a width. In each, the part of the
activation that is left of zero is a polynomial of degree 7 in the distance from the middle. It passes through
the function at the Chebyshev nodes of the interval, so that its error is within a small factor of the least
possible one (Trefethen, "Approximation Theory and Approximation Practice", chapter 15). Coefficients are
rounded to float32.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

mp.prec = 200
ROOT = Path(__file__).parents[1]
HEADER = ROOT / "csrc" / "kernels" / "piecewise_tables.h"
MODULE = ROOT / "python" / "fastdrop" / "reference" / "_piecewise_tables.py"
INTERVALS, COEFFICIENTS = 16, 8


def density(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def sigmoid(z):
    return 1 / (1 + mp.exp(-z))


def tanh_gate(x):
    """sigma(2 u) of -x; the derivative of 2 u is that of an odd polynomial."""
    return sigmoid(-2 * mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3))


def tanh_slope(x):
    return 2 * mp.sqrt(2 / mp.pi) * (1 + 3 * mpf("0.044715") * x * x)


# By name: the width of an interval, the gate g(-x) where the activation is t g(t), and its derivative at -x.
# 15 widths are exact, and so is a multiple of the width. Where a polynomial of degree 7 would no longer have
# the bits of the far tail, the range ends.
FUNCTIONS = {
    "gelu": (mpf(11) / 32, lambda x: mp.ncdf(-x), lambda x: mp.ncdf(-x) - x * density(x)),
    "gelu_tanh": (
        mpf(5) / 16,
        tanh_gate,
        lambda x: tanh_gate(x) * (1 - x * tanh_slope(x) * (1 - tanh_gate(x))),
    ),
    "silu": (mpf(1), lambda x: sigmoid(-x), lambda x: sigmoid(-x) * (1 - x * sigmoid(x))),
}


def coefficients(function, width, interval):
    """Of the powers of the distance from the middle, the lowest first, as float32."""
    middle = interval * width
    nodes = [width / 2 * mp.cos((2 * k + 1) * mp.pi / (2 * COEFFICIENTS)) for k in range(COEFFICIENTS)]
    powers = mp.matrix([[node**power for power in range(COEFFICIENTS)] for node in nodes])
    values = mp.matrix([function(middle + node) for node in nodes])
    return [np.float32(float(c)) for c in mp.lu_solve(powers, values)]


def tables():
    """By name: the width, and the tables of the gate and of the derivative: a row for each power."""
    for name, (width, *functions) in FUNCTIONS.items():
        columns = [[coefficients(f, width, i) for i in range(INTERVALS)] for f in functions]
        yield name, float(width), [[list(row) for row in zip(*column, strict=True)] for column in columns]


def number(value):
    """As a hexadecimal float without the zeros at its end, which C++ and Python can both read."""
    mantissa, exponent = float(value).hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}"


def rows_of(table, before, between, after):
    lines = []
    for row in table:
        numbers = [number(value) for value in row]
        lines.append(before + between.join(", ".join(numbers[at : at + 4]) for at in range(0, 16, 4)) + after)
    return "\n".join(lines)


def header():
    parts = [
        """// SPDX-License-Identifier: BSD-3-Clause
// Written by numerics/piecewise.py, which says what it is.
#pragma once

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class Activation>
struct PiecewiseTables;
"""
    ]
    for name, width, (gate, derivative) in tables():
        struct = "".join(word.capitalize() for word in name.split("_"))
        gates, derivatives = (rows_of(t, "      {", ",\n       ", "},") for t in (gate, derivative))
        parts.append(f"""
struct Exact{struct};
template <>
struct PiecewiseTables<Exact{struct}> {{
  static constexpr double kWidth = {number(width)}, kPerWidth = {number(np.float32(1 / width))};
  alignas(64) static constexpr float kGate[{COEFFICIENTS}][{INTERVALS}] = {{
{gates}
  }};
  alignas(64) static constexpr float kDerivative[{COEFFICIENTS}][{INTERVALS}] = {{
{derivatives}
  }};
}};
""")
    parts.append("\n}  // namespace\n}  // namespace fastdrop::FASTDROP_ISA\n")
    return "".join(parts)


def module():
    parts = [
        '''# SPDX-License-Identifier: BSD-3-Clause
"""Written by ``numerics/piecewise.py``, which says what it is: by name, the width and the two tables."""

# fmt: off
TABLES = {
'''
    ]
    for name, width, (gate, derivative) in tables():
        parts.append(f'    "{name}": (\n        "{number(width)}",\n')
        for table in (gate, derivative):
            parts.append("        [\n")
            parts.append(rows_of(table, '            "', ' "\n            "', '",').replace(", ", " ") + "\n")
            parts.append("        ],\n")
        parts.append("    ),\n")
    parts.append("}\n")
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    check = parser.parse_args().check
    for path, text in ((HEADER, header()), (MODULE, module())):
        if check and path.read_text() != text:
            sys.exit(f"{path.relative_to(ROOT)} is not what numerics/piecewise.py writes")
        if not check:
            path.write_text(text)


if __name__ == "__main__":
    main()
