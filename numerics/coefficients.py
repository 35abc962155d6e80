# SPDX-License-Identifier: BSD-3-Clause
"""Derive every coefficient of the functions of docs/numerics.md.

    python numerics/coefficients.py

prints them as hexadecimal floats. csrc/kernels/function_constants.h and fastdrop/reference/functions.py have
the same. It takes some seconds. Polynomials and quotients are minimax approximations: Remez's exchange
algorithm on a grid, with 50 digits. Their coefficients are rounded to the type.
"""

from collections.abc import Callable, Sequence

import mpmath as mp
import numpy as np

DIGITS = 50
GRID = 400  # points of the grid, less one

Function = Callable[[mp.mpf], mp.mpf]


def rounded(value: mp.mpf, dtype: type) -> float:
    """The nearest number of that type, as a double."""
    with mp.workprec(np.finfo(dtype).nmant + 1):
        return float(+value)


def shortened(value: mp.mpf, bits: int) -> float:
    """The nearest number of so many bits."""
    with mp.workprec(bits):
        return float(+value)


def polynomial(coefficients: Sequence[mp.mpf], x: mp.mpf) -> mp.mpf:
    """Of coefficients from the lowest power on."""
    total = mp.mpf(0)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def extrema(errors: Sequence[mp.mpf], count: int) -> list[int]:
    """Where the error is largest between two changes of its sign; of too many, the smaller ends go."""
    found: list[int] = []
    for place, error in enumerate(errors):
        if not found or (error > 0) != (errors[found[-1]] > 0):
            found.append(place)
        elif abs(error) > abs(errors[found[-1]]):
            found[-1] = place
    while len(found) > count:
        found.pop(0 if abs(errors[found[0]]) < abs(errors[found[-1]]) else -1)
    return found


def quotient(
    function: Function, weight: Function, numerator: int, denominator: int, points: Sequence[mp.mpf]
) -> tuple[list[mp.mpf], list[mp.mpf], mp.mpf]:
    """The polynomials N and D of these degrees, D(0) = 1, with the least ``max |weight (N / D - function)|``.

    Returns their coefficients, lowest power first, and that maximum. At as many points as there are unknowns,
    the error has one size and changing signs. There, N - D f = D error. This is a linear system, if the D
    beside the error is that of the step before.
    """
    values, weights = [function(x) for x in points], [weight(x) for x in points]
    unknowns = numerator + denominator + 2
    last = len(points) - 1
    places = [round(last * (1 - np.cos(np.pi * i / (unknowns - 1))) / 2) for i in range(unknowns)]
    below = [mp.mpf(1)] * len(points)
    for _ in range(60):
        for _ in range(6 if denominator else 1):
            system = mp.matrix(unknowns, unknowns)
            for row, place in enumerate(places):
                x, value = points[place], values[place]
                powers = [x**power for power in range(max(numerator, denominator) + 1)]
                entries = powers[: numerator + 1] + [-value * power for power in powers[1 : denominator + 1]]
                for column, entry in enumerate([*entries, (-1) ** row * below[place] / weights[place]]):
                    system[row, column] = entry
            solution = mp.lu_solve(system, mp.matrix([values[place] for place in places]))
            above = list(solution[: numerator + 1])
            divisor = [mp.mpf(1), *solution[numerator + 1 : unknowns - 1]]
            below = [polynomial(divisor, x) for x in points]
        errors = [
            weight * (polynomial(above, x) / under - value)
            for weight, x, under, value in zip(weights, points, below, values, strict=True)
        ]
        found = extrema(errors, unknowns)
        if found == places:
            return above, divisor, max(map(abs, errors))
        if len(found) < unknowns:
            raise ArithmeticError("the error has too few changes of sign")
        places = found
    raise ArithmeticError("no convergence")


def chebyshev(low: mp.mpf, high: mp.mpf) -> list[mp.mpf]:
    """A grid that is dense at the ends."""
    return [(low + high - (high - low) * mp.cos(mp.pi * i / GRID)) / 2 for i in range(GRID + 1)]


def exponential(degree: int) -> tuple[list[mp.mpf], mp.mpf]:
    """q with ``exp(r) = 1 + (r + r^2 q(r))`` of that degree, where |r| <= ln(2) / 2 and a little more."""
    end = mp.log(2) / 2 * mp.mpf("1.0005")
    points = [r for r in chebyshev(-end, end) if abs(r) > mp.mpf("1e-9")]

    def wanted(r: mp.mpf) -> mp.mpf:
        return (mp.expm1(r) - r) / r**2

    above, _, error = quotient(wanted, lambda r: r**2 / mp.exp(r), degree - 2, 0, points)
    return above, error


def tail(t: mp.mpf) -> mp.mpf:
    """``Phi(-t) exp(t^2 / 2)``: Mills' ratio over sqrt(2 pi)."""
    return mp.erfc(t / mp.sqrt(2)) / 2 * mp.exp(t**2 / 2)


def normal_tail(degree: int, end: int) -> tuple[list[mp.mpf], list[mp.mpf], mp.mpf]:
    """N and D, of that degree and one more, with ``tail(t) = N(t) / D(t)`` for 0 <= t <= end; D is monic."""
    # Equal steps of the angle of y = (t - 3) / (t + 3), in which the function is smooth over its whole range.
    points = [3 * (1 + y) / (1 - y) for y in chebyshev(mp.mpf(-1), mp.mpf(end - 3) / (end + 3))]
    above, divisor, error = quotient(tail, lambda t: 1 / tail(t), degree, degree + 1, points)
    lead = divisor[-1]
    return [c / lead for c in above], [c / lead for c in divisor[:-1]], error


def logarithm(degree: int) -> tuple[list[mp.mpf], mp.mpf]:
    """R with ``log((1 + s) / (1 - s)) = 2 s + s^3 R(s^2)`` of that degree, for fractions near 1.

    A fraction from sqrt(1/2) to sqrt(2) has an s of at most 3 - 2 sqrt(2).
    """
    points = [q for q in chebyshev(mp.mpf(0), (3 - 2 * mp.sqrt(2)) ** 2) if q > mp.mpf("1e-9")]

    def wanted(q: mp.mpf) -> mp.mpf:
        return (2 * mp.atanh(mp.sqrt(q)) / mp.sqrt(q) - 2) / q

    above, _, error = quotient(wanted, lambda q: q / 2, degree, 0, points)
    return above, error


# For each type: the bits of ln 2's upper part, the degree of the exponential's polynomial, that of N, and the
# end of t. The upper part leaves bits for n, so that their product is exact: 8 of 24, and 11 of 53.
CHOICES = {np.float32: (16, 6, 4, 15), np.float64: (42, 11, 10, 39)}


def coefficients(dtype: type) -> tuple[dict[str, list[float]], dict[str, mp.mpf]]:
    """All numbers by their names in the core, and the largest errors before rounding to the type."""
    bits, degree, numerator, end = CHOICES[dtype]
    with mp.workdps(DIGITS):
        power, error = exponential(degree)
        above, divisor, tail_error = normal_tail(numerator, end)
        ln2_high = shortened(mp.log(2), bits)
        # Of gelu_tanh: 2 u log2(e) is t times (linear + cubic t^2).
        tanh = 2 * mp.sqrt(2 / mp.pi) / mp.log(2)
        numbers = {
            "kLog2E": [1 / mp.log(2)],
            "kLn2": [mp.log(2)],
            "kLn2High": [mp.mpf(ln2_high)],
            "kLn2Low": [mp.log(2) - ln2_high],
            "kExponential": power,
            "kBell": [mp.mpf(rounded(c, dtype)) * mp.mpf(-0.5) ** k for k, c in enumerate(power, 2)],
            "kPowerOfTwo": [c * mp.log(2) ** k for k, c in enumerate(power, 2)],
            "kTailNumerator": above,
            "kTailDenominator": divisor,
            "kDensityAtZero": [1 / mp.sqrt(2 * mp.pi)],
            "kTanhLinear": [tanh],
            "kTanhCubic": [mp.mpf("0.044715") * tanh],
        }
        numbers = {name: [rounded(c, dtype) for c in row] for name, row in numbers.items()}
        return numbers, {"kExponential": error, "kTailNumerator": tail_error}


def logarithm_numbers() -> tuple[list[float], mp.mpf]:
    """The numbers of csrc/kernels/logarithm.h in its order, and the largest error. All types use float64."""
    parts = coefficients(np.float64)[0]
    with mp.workdps(DIGITS):
        tail, error = logarithm(6)
        numbers = [mp.sqrt(mp.mpf(1) / 2), *tail]
        return [*parts["kLn2High"], *parts["kLn2Low"], *(rounded(c, np.float64) for c in numbers)], error


def hexadecimal(value: float) -> str:
    """As C++ and `float.fromhex` read it, without zeros at the end."""
    fraction, power = float(value).hex().split("p")
    return (fraction.rstrip("0").rstrip(".") if "." in fraction else fraction) + "p" + power


def main() -> None:
    for dtype in CHOICES:
        numbers, errors = coefficients(dtype)
        print(dtype.__name__)
        for name, row in numbers.items():
            note = f"  // 2^{mp.nstr(mp.log(errors[name], 2), 4)}" if name in errors else ""
            print(f"  {name} = {', '.join(map(hexadecimal, row))}{note}")
    logarithms, error = logarithm_numbers()
    print("logarithm")
    print(f"  {', '.join(map(hexadecimal, logarithms))}  // 2^{mp.nstr(mp.log(error, 2), 4)}")


if __name__ == "__main__":
    main()
