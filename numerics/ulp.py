# SPDX-License-Identifier: BSD-3-Clause
"""Measure how far the core's functions are off, in units in the last place (ULP).

    python numerics/ulp.py                     float32, all 2^32 inputs: a quarter of an hour on one core
    python numerics/ulp.py --float64 1000000   so many inputs of float64 for each function, against mpmath

prints the table of docs/numerics.md. In float32 the judge is float64: numpy and scipy, whose own error is
measured first, against mpmath. A derivative is a sum that can cancel, so its unit is that of its larger term.
Below the smallest normal number a unit is the smallest subnormal one. A NaN must give a NaN.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import mpmath as mp
import numpy as np
from numpy.typing import NDArray
from scipy import special
from tqdm import tqdm

from fastdrop import _core

Floats = NDArray[np.floating[Any]]
# A judge gives, for some x, the exact values and the sizes of which a unit is taken: of each function.
Judge = Callable[[Floats], dict[str, tuple[Floats, Floats]]]

LINEAR = 2 * np.sqrt(2 / np.pi)
CUBIC = 0.044715 * LINEAR
SEED = 20160627  # the date of Hendrycks and Gimpel's first version


def whole(value: Floats) -> tuple[Floats, Floats]:
    return value, np.abs(value)


def two_terms(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    return a + b, np.maximum(np.abs(a), np.abs(b))


def judge_exponential(x: Floats) -> dict[str, tuple[Floats, Floats]]:
    return {"exponential": whole(np.exp(x))}


def judge_logistic(x: Floats) -> dict[str, tuple[Floats, Floats]]:
    s = special.expit(x)
    derivative = two_terms(s, np.clip(x, -1e3, 1e3) * s * special.expit(-x))
    return {"sigmoid": whole(s), "silu": whole(x * s), "silu_derivative": derivative}


def judge_normal(x: Floats) -> dict[str, tuple[Floats, Floats]]:
    phi, near = special.ndtr(x), np.clip(x, -1e2, 1e2)
    density = np.exp(near * near * -0.5) / np.sqrt(2 * np.pi)
    derivative = two_terms(phi, near * density)
    return {"normal_cdf": whole(phi), "gelu": whole(x * phi), "gelu_derivative": derivative}


def judge_tanh(x: Floats) -> dict[str, tuple[Floats, Floats]]:
    near = np.clip(x, -1e2, 1e2)
    square = near * near
    s, opposite = (special.expit(sign * near * (LINEAR + CUBIC * square)) for sign in (1, -1))
    derivative = two_terms(s, near * (LINEAR + 3 * CUBIC * square) * s * opposite)
    return {"gelu_tanh": whole(x * s), "gelu_tanh_derivative": derivative}


JUDGES: list[Judge] = [judge_exponential, judge_logistic, judge_normal, judge_tanh]
# Six of seven float32 are smaller or larger than these. There, functions are these polynomials or limits, to
# far less than a ULP: what is left out is smaller by 2^-60, or is less than 2^-176.
NEAR, FAR = 2.0**-30, 128.0
DENSITY = 1 / np.sqrt(2 * np.pi)
POLYNOMIALS = {"exponential": (1, 1, 0), "sigmoid": (1 / 2, 1 / 4, 0), "normal_cdf": (1 / 2, DENSITY, 0)}
POLYNOMIALS |= {"gelu": (0, 1 / 2, DENSITY), "gelu_derivative": (1 / 2, 2 * DENSITY, 0)}
POLYNOMIALS |= {"gelu_tanh": (0, 1 / 2, LINEAR / 4), "gelu_tanh_derivative": (1 / 2, LINEAR / 2, 0)}
POLYNOMIALS |= {"silu": (0, 1 / 2, 1 / 4), "silu_derivative": (1 / 2, 1 / 2, 0)}


def judge_near(x: Floats) -> dict[str, tuple[Floats, Floats]]:
    return {name: whole(c0 + x * (c1 + x * c2)) for name, (c0, c1, c2) in POLYNOMIALS.items()}


def judge_far(x: Floats) -> dict[str, tuple[Floats, Floats]]:
    above = dict.fromkeys(POLYNOMIALS, np.ones_like(x))
    above |= {"exponential": np.full_like(x, np.inf), "gelu": x, "gelu_tanh": x, "silu": x}
    return {name: whole(np.where(x < 0, 0.0, value) + (x - x)) for name, value in above.items()}


def logistic(z: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-z))


def normal_cdf(x: mp.mpf) -> mp.mpf:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def twice_u(x: mp.mpf, powers: int = 1) -> mp.mpf:
    """2 u of gelu_tanh; with 3 powers, x times its derivative."""
    return 2 * mp.sqrt(2 / mp.pi) * (x + powers * mp.mpf("0.044715") * x**3)


# The terms of each function.
EXACT: dict[str, Callable[[mp.mpf], tuple[mp.mpf, ...]]] = {
    "exponential": lambda x: (mp.exp(x),),
    "sigmoid": lambda x: (logistic(x),),
    "normal_cdf": lambda x: (normal_cdf(x),),
    "gelu": lambda x: (x * normal_cdf(x),),
    "gelu_derivative": lambda x: (normal_cdf(x), x * mp.npdf(x)),
    "gelu_tanh": lambda x: (x * logistic(twice_u(x)),),
    "gelu_tanh_derivative": lambda x: (
        logistic(twice_u(x)),
        twice_u(x, 3) * logistic(twice_u(x)) * logistic(-twice_u(x)),
    ),
    "silu": lambda x: (x * logistic(x),),
    "silu_derivative": lambda x: (logistic(x), x * logistic(x) * logistic(-x)),
}


def exact_error(name: str, x: float, result: float, dtype: type) -> float:
    """How far a result is off, in ULP of the type."""
    info = np.finfo(dtype)
    terms = EXACT[name](mp.mpf(x))
    wanted, size = mp.fsum(terms), max(map(abs, terms))
    largest = mp.mpf(2) ** info.maxexp - mp.mpf(2) ** (info.maxexp - info.nmant - 2)  # more is infinite
    if np.isinf(result) and wanted >= largest:
        return 0.0
    unit = mp.mpf(2) ** max(mp.mag(size) - 1 - info.nmant, info.minexp - info.nmant)
    return float(abs(mp.mpf(result) - wanted) / unit)


def units(sizes: Floats) -> Floats:
    """The unit in the last place of a float32 of each size, which is a float64."""
    powers = (sizes.view(np.uint64) & np.uint64(0x7FF << 52)).view(np.float64)
    return np.maximum(powers * 2.0**-23, 2.0**-149)


def float32_errors(x: Floats, result: Floats, wanted: Floats, sizes: Floats) -> Floats:
    """In ULP. Infinity is right where the value rounds to it, a NaN where x is one, and nowhere else."""
    if np.array_equal(result, wanted.astype(np.float32)):
        return np.full_like(wanted, 0.5)  # at most
    got = result.astype(np.float64)
    off = np.abs(got - wanted) / units(sizes)
    if np.isfinite(off.max()):
        return off
    largest = 2.0**128 - 2.0**103  # and more rounds to infinity
    right = np.where(np.isnan(x), np.isnan(got), np.isinf(got) & (np.abs(wanted) >= largest))
    return np.where(right | (got == wanted), 0, np.where(np.isnan(off), np.inf, off))


def all_float32(step: int = 2**16) -> Iterator[Floats]:
    for first in tqdm(range(0, 2**32, step), mininterval=10):
        yield np.arange(first, first + step, dtype=np.uint64).astype(np.uint32).view(np.float32)


class Worst:
    """The largest error on each side of zero, and where it is."""

    def __init__(self) -> None:
        self.error, self.place = {False: 0.0, True: 0.0}, {False: 0.0, True: 0.0}

    def look(self, x: Floats, errors: Floats) -> None:
        """All x have one sign."""
        at, side = int(errors.argmax()), bool(np.signbit(x[0]))
        if errors[at] > self.error[side]:
            self.error[side], self.place[side] = float(errors[at]), float(x[at])

    def row(self, name: str) -> str:
        cells = [f"{self.error[side]:.2f} | {self.place[side]:.9g}" for side in (True, False)]
        return f"| `{name}` | " + " | ".join(cells) + " |"


def print_table(worst: dict[str, Worst]) -> None:
    print("| function | x < 0: ULP | at | x > 0: ULP | at |")
    print("|---|---|---|---|---|")
    for name in _core.functions:
        if name in worst:
            print(worst[name].row(name))


def judges_of(x: Floats) -> list[Judge]:
    """All x have one exponent."""
    size = abs(float(x[0]))
    return [judge_near] if size < NEAR else JUDGES if size < FAR else [judge_far]


def measure_float32(names: list[str]) -> None:
    worst = {name: Worst() for name in names}
    with np.errstate(all="ignore"):
        zero = np.zeros(1)
        known = {judge for judge in [*JUDGES, judge_near, judge_far] if set(judge(zero)) & set(names)}
        for x in all_float32():
            exact = np.clip(x.astype(np.float64), -1e300, 1e300)  # at -infinity a product is a limit
            for judge in known.intersection(judges_of(x)):
                for name, (wanted, sizes) in judge(exact).items():
                    if name in worst:
                        errors = float32_errors(x, _core.function(name, x), wanted, sizes)
                        worst[name].look(x, errors)
    print_table(worst)


def sample(count: int, reach: float) -> Floats:
    """Half evenly between -reach and reach, half of random exponents: every size has as many."""
    random = np.random.default_rng(SEED)
    even = random.uniform(-reach, reach, count // 2)
    exponents = random.integers(-1074, 10, count - count // 2)
    sizes = np.ldexp(random.uniform(1, 2, exponents.size), exponents)
    return np.concatenate([even, np.where(random.random(sizes.size) < 0.5, -sizes, sizes)])


# Beyond these, float64 results are zero or one, infinite or x.
REACHES = {"exponential": 746.0, "sigmoid": 746.0, "silu": 755.0, "silu_derivative": 755.0}
REACHES |= dict.fromkeys(("normal_cdf", "gelu", "gelu_derivative"), 39.0)
REACHES |= dict.fromkeys(("gelu_tanh", "gelu_tanh_derivative"), 22.0)


def measure_float64(names: list[str], count: int) -> None:
    worst = {name: Worst() for name in names}
    for name in names:
        x = sample(count, REACHES[name])
        results = _core.function(name, x).tolist()
        pairs = zip(x.tolist(), results, strict=True)
        errors = np.array(
            [exact_error(name, *pair, np.float64) for pair in tqdm(pairs, name, count, mininterval=10)]
        )
        for side in (x < 0, x >= 0):
            worst[name].look(x[side], errors[side])
    print_table(worst)


def check_judges(count: int = 2000) -> None:
    """How far the judges of float32 are off: they must be good to far less than half a ULP."""
    worst = 0.0
    for reach in (15.0, 110.0):
        x = np.clip(sample(count, reach).astype(np.float32), -110, 88).astype(np.float64)
        judged = {name: pair for judge in JUDGES for name, pair in judge(x).items()}
        for name, (values, _) in judged.items():
            pairs = zip(x.tolist(), values.tolist(), strict=True)
            worst = max(worst, *(exact_error(name, *pair, np.float32) for pair in pairs))
    print(f"The judges are right to {worst:.1e} ULP of float32, at {2 * count} inputs.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--float64", type=int, metavar="COUNT", help="so many inputs of float64")
    parser.add_argument("functions", nargs="*", help="names; all but relu if none is given")
    arguments = parser.parse_args()
    mp.mp.prec = 150
    names = arguments.functions or list(REACHES)
    if arguments.float64:
        measure_float64(names, arguments.float64)
    else:
        check_judges()
        measure_float32(names)


if __name__ == "__main__":
    main()
