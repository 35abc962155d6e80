# SPDX-License-Identifier: BSD-3-Clause
"""Derive the polynomials of docs/numerics.md, section 6, and write them where they are used.

    python numerics/piecewise.py           writes the tables of the core and of fastdrop.reference
    python numerics/piecewise.py --check   says whether the two files are what it would write

The range of ``x = |t|`` is cut into 16 intervals around the multiples of a width. In each, the gate at -x and
the derivative there are polynomials of degree 7 in the distance from the middle. Such a polynomial passes
through its function at the Chebyshev nodes of the interval, so that its error is within a small factor of the
least possible one (Trefethen, "Approximation Theory and Approximation Practice", chapter 15). Coefficients
are rounded to float32.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

PRECISION = 200  # bits
ROOT = Path(__file__).parents[1]
HEADER = ROOT / "csrc" / "kernels" / "piecewise_tables.h"
MODULE = ROOT / "python" / "fastdrop" / "reference" / "_piecewise_tables.py"
INTERVALS, COEFFICIENTS = 16, 8

Function = Callable[[mpf], mpf]
Table = list[list[np.float32]]


def density(x: mpf) -> mpf:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def sigmoid(z: mpf) -> mpf:
    return 1 / (1 + mp.exp(-z))


def tanh_gate(x: mpf) -> mpf:
    """sigma(2 u) of -x; the derivative of 2 u is that of an odd polynomial."""
    return sigmoid(-2 * mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3))


def tanh_slope(x: mpf) -> mpf:
    return 2 * mp.sqrt(2 / mp.pi) * (1 + 3 * mpf("0.044715") * x * x)


# By name: the width of an interval, the gate g(-x) where the activation is t g(t), and its derivative at -x.
# Widths have few bits, so that their multiples are exact. Where a polynomial of degree 7 would no longer have
# the bits of the far tail, the range ends.
FUNCTIONS: dict[str, tuple[mpf, Function, Function]] = {
    "gelu": (mpf(11) / 32, lambda x: mp.ncdf(-x), lambda x: mp.ncdf(-x) - x * density(x)),
    "gelu_tanh": (
        mpf(5) / 16,
        tanh_gate,
        lambda x: tanh_gate(x) * (1 - x * tanh_slope(x) * (1 - tanh_gate(x))),
    ),
    "silu": (mpf(1), lambda x: sigmoid(-x), lambda x: sigmoid(-x) * (1 - x * sigmoid(x))),
}


def coefficients(function: Function, width: mpf, interval: int) -> list[np.float32]:
    """Of the powers of the distance from the middle, the lowest first."""
    with mp.workprec(PRECISION):
        middle = interval * width
        nodes = [width / 2 * mp.cos((2 * k + 1) * mp.pi / (2 * COEFFICIENTS)) for k in range(COEFFICIENTS)]
        powers = mp.matrix([[node**power for power in range(COEFFICIENTS)] for node in nodes])
        values = mp.matrix([function(middle + node) for node in nodes])
        # A sum with 0 has no negative zeros: their sign would be that of a rounding error.
        return [np.float32(float(c)) + np.float32(0) for c in mp.lu_solve(powers, values)]


def tables() -> Iterator[tuple[str, float, list[Table]]]:
    """By name: the width, and the tables of the gate and of the derivative: a row for each power."""
    for name, (width, *functions) in FUNCTIONS.items():
        columns = [[coefficients(f, width, i) for i in range(INTERVALS)] for f in functions]
        yield name, float(width), [[list(row) for row in zip(*column, strict=True)] for column in columns]


def number(value: float) -> str:
    """As a hexadecimal float without the zeros at its end, which C++ and Python can both read."""
    mantissa, exponent = float(value).hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}"


def rows_of(table: Table, before: str, between: str, after: str) -> str:
    lines = []
    for row in table:
        numbers = [number(value) for value in row]
        fours = [", ".join(numbers[at : at + 4]) for at in range(0, INTERVALS, 4)]
        lines.append(before + between.join(fours) + after)
    return "\n".join(lines)


def header() -> str:
    parts = [
        """// SPDX-License-Identifier: BSD-3-Clause
// Written by numerics/piecewise.py, which says what it is.
#pragma once
// clang-format off

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


def module() -> str:
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


def texts() -> dict[Path, str]:
    return {HEADER: header(), MODULE: module()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    check = parser.parse_args().check
    for path, text in texts().items():
        if not check:
            path.write_text(text)
        elif path.read_text() != text:
            sys.exit(f"{path.relative_to(ROOT)} is not what numerics/piecewise.py writes")


if __name__ == "__main__":
    main()
