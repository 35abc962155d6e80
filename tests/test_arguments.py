# SPDX-License-Identifier: BSD-3-Clause
"""Every number, name and index that is refused: exception class, and a message that says what is wrong."""

import itertools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdrop
from refusal import refuse

pytestmark = pytest.mark.usefixtures("silence")

SHAPE = (4, 6)
X = np.arange(24, dtype=np.float32).reshape(SHAPE)
MASK, NOISE = fastdrop.Mask(SHAPE, 0.5, seed=0), fastdrop.GaussianNoise(SHAPE, 0.5, seed=0)
HUGE = 10**5000  # more digits than Python prints


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no text")


def table(rows):
    """Rows as test parameters; the last entry, what came, is the id."""
    return [pytest.param(*row, id=f"{number}-{row[-1]}"[:40]) for number, row in enumerate(rows)]


# --- p --------------------------------------------------------------------------------------------

REAL, RANGE = "must be a real number or an array of them, the probability of dropping", "must be from 0 to 1"
BAD_P = [
    (float("nan"), ValueError, RANGE, "nan"),
    (float("inf"), ValueError, RANGE, "inf"),
    (float("-inf"), ValueError, RANGE, "-inf"),
    (-5e-324, ValueError, RANGE, "-5e-324"),
    (1 + 2**-52, ValueError, RANGE, "1.0000000000000002"),
    (np.float32(1.5), ValueError, RANGE, "1.5"),
    (np.float16("nan"), ValueError, RANGE, "nan"),
    (np.nextafter(np.longdouble(1), np.longdouble(2)), ValueError, RANGE, "1.0000000"),
    (Fraction(2**200 + 1, 2**200), ValueError, RANGE, "Fraction("),  # rounds to 1.0
    (Fraction(-1, 2**2000), ValueError, RANGE, "Fraction(-1"),  # rounds to -0.0
    (2, ValueError, RANGE, "2"),
    (10**400, ValueError, RANGE, "1000000"),  # no float is as large
    (HUGE, ValueError, RANGE, "int object"),
    ("0.5", TypeError, REAL, "'0.5' of type str"),
    (None, TypeError, REAL, "None of type NoneType"),
    (0.5j, TypeError, REAL, "0.5j of type complex"),
    (True, TypeError, REAL, "True of type bool"),
    (np.bool_(False), TypeError, REAL, "of type bool"),
    (Decimal("0.5"), TypeError, REAL, "of type Decimal"),
    (np.array("0.5"), TypeError, REAL, "'0.5'"),
    (np.array([0.5j]), TypeError, REAL, "array([0.+0.5j]) of type ndarray"),
    (np.array([True]), TypeError, REAL, "array([ True]) of type ndarray"),
    (np.array([0.5, 1.5]), ValueError, RANGE, "array([0.5, 1.5])"),
    (np.array([-5e-324]), ValueError, RANGE, "array([-5.e-324"),
    (np.array([np.nan, 0.5]), ValueError, RANGE, "array([nan, 0.5])"),
    (["0.5"], TypeError, REAL, "['0.5']"),
    (Unprintable(), TypeError, REAL, "of type Unprintable"),
]
TAKES_P = {
    "dropout": lambda p: fastdrop.dropout(X, p, rng=0),
    "dropout in evaluation": lambda p: fastdrop.dropout(X, p, training=False),
    "Mask": lambda p: fastdrop.Mask(3, p),
    "MaskGenerator.mask": lambda p: fastdrop.MaskGenerator(0).mask(3, p),
    "Dropout": lambda p: fastdrop.Dropout(p),
    "Dropout.p": lambda p: setattr(fastdrop.Dropout(), "p", p),
    "load_state_dict": lambda p: fastdrop.Dropout().load_state_dict(
        {"p": p, "training": True, "rng": fastdrop.MaskGenerator(0).state}
    ),
}


@pytest.mark.parametrize("entrance", TAKES_P)
@pytest.mark.parametrize(("p", "kind", "wanted", "came"), table(BAD_P))
def test_a_p_that_is_no_probability_is_refused(entrance, p, kind, wanted, came):
    refuse(lambda: TAKES_P[entrance](p), kind, "p must", wanted, came)


P_ADVICE = [
    (50, "; if it is a percentage, write 0.5"),
    (1.5, "; if it is a percentage, write 0.015"),
    ("50", "; if it is a percentage, write 0.5"),
    (np.float32(20), "; if it is a percentage, write 0.2"),
    (np.array([0, 50, 100]), "; if it holds percentages, write p / 100"),
    ([0.1, 0.2], "; write numpy.array(p, dtype=float)"),
    ((0.1, 0.2), "; write numpy.array(p, dtype=float)"),
    (np.array(["0.1"]), "; write numpy.array(p, dtype=float)"),
    ("0.5", "; write float(p)"),
    (Decimal("0.5"), "; write float(p)"),
]


@pytest.mark.parametrize("entrance", TAKES_P)
@pytest.mark.parametrize(("p", "advice"), P_ADVICE, ids=str)
def test_a_p_that_can_be_guessed_comes_with_advice(entrance, p, advice):
    if entrance == "load_state_dict" and isinstance(p, (list, tuple)):
        return  # a state holds an array as a list
    with pytest.raises((TypeError, ValueError), match="p must be") as caught:
        TAKES_P[entrance](p)
    assert str(caught.value).endswith(advice)


@pytest.mark.parametrize(
    "p", [101, -1, float("nan"), True, "half", None, {}, X > 2, np.array([-1, 50])], ids=str
)
def test_a_p_that_cannot_be_guessed_comes_without_advice(p):
    with pytest.raises((TypeError, ValueError), match=r"p must be [^;]*$"):
        fastdrop.dropout(X, p)


def test_advice_on_keep_prob_has_its_name():
    refuse(lambda: fastdrop.dropout(X, keep_prob=80), ValueError, "keep_prob must", "percentage, write 0.8")
    advice = "; write numpy.array(keep_prob, dtype=float)"
    refuse(lambda: fastdrop.dropout(X, keep_prob=[0.5]), TypeError, "keep_prob must", advice)


@given(st.floats(allow_nan=False).filter(lambda p: not 0 <= p <= 1))
def test_a_p_anywhere_outside_is_refused(p):
    refuse(lambda: fastdrop.Mask(3, p), ValueError, "p must", RANGE, repr(p))


# --- Streams, shapes, names -----------------------------------------------------------------------

AXES = "must be an integer or a sequence of integers"
SIZE = "must have at most 2**63 elements"
INTEGER, NATURAL = "must be an integer", "must be at least 0 and less than 9223372036854775808"
COUNT, NAME = "must be at least 1 and less than 2147483648", "must be a string"
BAD_NUMBERS = {
    "shape": [
        *[(value, TypeError, AXES) for value in (None, 2.0, True, "", "3", b"ab", {3: 4}, {3}, iter([3]))],
        *[
            (value, TypeError, AXES)
            for value in ((2, 2.0), (True, 3), [[2]], np.array([2.0]), itertools.count())
        ],
        *[(value, ValueError, "must have no negative length") for value in (-1, (2, -1), (0, -3), (-HUGE,))],
        *[(value, ValueError, SIZE) for value in (2**63, (2**62, 3), (2**40, 2**40), (0, 2**63), HUGE)],
        ((1,) * 65, ValueError, "must have at most 64 axes"),
    ],
    "stream": [
        *[(value, ValueError, NATURAL) for value in (-1, 2**63, 2**64, np.int64(-1), HUGE)],
        *[(value, TypeError, INTEGER) for value in (1.0, None, True, "1", np.array([1]), np.float64(1), 1j)],
    ],
    "generator": [
        *[(value, TypeError, NAME) for value in (0, None, b"ars4x32-7", ["ars4x32-7"])],
        *[(value, ValueError, "must be one of 'ars4x32-7'") for value in ("", "ARS4X32-7", "ars4x32-10")],
    ],
    "n_children": [
        *[(value, ValueError, "at least 0 and less than 1048577") for value in (-1, 2**20 + 1, 2**63)],
        *[(value, TypeError, INTEGER) for value in (1.0, None, True, "1", [1])],
    ],
    "n": [
        *[(value, ValueError, COUNT) for value in (0, -1, 2**31, HUGE)],
        *[(value, TypeError, INTEGER) for value in (2.5, 2.0, None, True, "2", [2])],
    ],
    "name": [
        *[(value, TypeError, NAME) for value in (None, 0, b"scalar", ("scalar",))],
        *[(value, ValueError, f"must be one of {fastdrop.isas()[0]!r}") for value in ("", "SCALAR", "mmx")],
    ],
    "mode": [
        *[(value, TypeError, NAME) for value in (None, 0, True)],
        *[(value, ValueError, "must be one of 'stdout', 'dict'") for value in ("", "json")],
    ],
}
TAKES_NUMBER = [
    ("shape", lambda shape: fastdrop.Mask(shape)),
    ("shape", lambda shape: fastdrop.MaskGenerator(0).mask(shape)),
    ("stream", lambda stream: fastdrop.Mask(3, stream=stream)),
    ("generator", lambda generator: fastdrop.Mask(3, generator=generator)),
    ("generator", lambda generator: fastdrop.MaskGenerator(0, generator=generator)),
    ("n_children", lambda n_children: fastdrop.MaskGenerator(0).spawn(n_children)),
    ("n", fastdrop.set_num_threads),
    ("name", fastdrop.use_isa),
    ("mode", fastdrop.show_config),
]


@pytest.mark.parametrize(("name", "call"), TAKES_NUMBER)
def test_a_number_or_name_that_is_wrong_is_refused(name, call):
    for value, kind, wanted in BAD_NUMBERS[name]:
        came = f"of type {type(value).__name__}" if kind is TypeError else ", not "
        refuse(lambda value=value: call(value), kind, f"{name} must", wanted, came)


INDEX = "an index"
BAD_INDICES = [
    *[
        (index, TypeError, f"{INDEX} must be integers, slices and '...' only, not ")
        for index in (None, 1.0, "0", True, np.True_, [0], [True, False], (0, None), (..., [0]), MASK)
    ],
    *[(index, TypeError, f"{INDEX} must be integers") for index in (np.array([0]), np.ones(SHAPE, bool))],
    *[
        (index, IndexError, f"{INDEX} must be within the axis of length 4, not ")
        for index in (4, -5, 2**63, HUGE)
    ],
    ((0, 6), IndexError, f"{INDEX} must be within the axis of length 6, not 6"),
    ((0, 0, 0), IndexError, "2 axes have been indexed with 3 entries"),
    ((..., 0, ...), IndexError, f"{INDEX} can have one '...' only"),
    (slice(None, None, 0), ValueError, "slice step cannot be zero"),  # the text of Python itself
    (slice("a"), TypeError, "slice indices must be integers"),
]


@pytest.mark.parametrize(("index", "kind", "message"), table(BAD_INDICES))
def test_an_index_that_does_not_fit_is_refused(index, kind, message):
    for drawn in (MASK, NOISE):
        refuse(lambda drawn=drawn: drawn[index], kind, message)


def test_what_a_mask_cannot_do_is_refused():
    refuse(lambda: fastdrop.Dropout().backward(X), ValueError, "backward needs a forward pass before it")
    with pytest.raises(MemoryError):
        fastdrop.Mask(2**62).to_numpy()


@pytest.mark.parametrize(
    "mask", [None, 0.5, np.ones(SHAPE, bool), fastdrop.MaskGenerator(0), fastdrop.reference.Mask(SHAPE)]
)
def test_what_is_no_mask_is_refused(mask):
    wanted = "the fastdrop.Mask that dropout returned"
    refuse(lambda: fastdrop.dropout_backward(X, mask), TypeError, "mask must be", wanted, type(mask).__name__)
