# SPDX-License-Identifier: BSD-3-Clause
"""A mask is not an array: no operator and no function of NumPy makes one of it without being told to."""

import decimal
import fractions
import operator

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes
from refusal import refuse

X, W = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 4))
DRAWN = {"Mask": fastdrop.Mask((2, 3), 0.5, seed=0), "GaussianNoise": fastdrop.GaussianNoise((2, 3), seed=0)}
FORWARD = {"Mask": fastdrop.dropout, "GaussianNoise": fastdrop.gaussian_dropout}
REMEDY = {
    "Mask": ("mask.apply(dy)", " dropout_backward(dy, mask)", "mask.to_numpy()", "y, mask = dropout(...)"),
    "GaussianNoise": (
        *("noise.apply(dy)", " gaussian_dropout_backward(dy, noise)", "noise.to_numpy()"),
        "y, noise = gaussian_dropout(...)",
    ),
}
BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"]
BINARY += ["lshift", "rshift", "lt", "le", "gt", "ge", "eq", "ne"]
OTHERS = [X, X > 0, X[0], np.float32(0), np.float64(2), np.bool_(True), np.array(1), 0, True, 2.0, 1j]
OTHERS += [X.tolist(), (1.0, 2.0), np.ma.array(X), np.ones((2, 3), object)]


def set_item(index, value):
    x = X.copy()
    x[index] = value


USES = {
    "multiply": lambda drawn: np.multiply(X, drawn),
    "index": lambda drawn: X[drawn],
    "index of a tuple": lambda drawn: X[0, drawn],
    "assignment at an index": lambda drawn: set_item(drawn, 0),
    "assignment": lambda drawn: set_item(..., drawn),
    "where": lambda drawn: np.where(drawn, X, 0),
    "einsum": lambda drawn: np.einsum("ij,ij->ij", X, drawn),
    "in": lambda drawn: False in drawn,
    "asarray": np.asarray,
    "asarray, dtype": lambda drawn: np.asarray(drawn, np.float32),
    "asarray, copy": lambda drawn: drawn.__array__(copy=False),
    "array": np.array,
    "array of objects": lambda drawn: np.array(drawn, object),
    "list of masks": lambda drawn: np.array([drawn]),
    "stack": lambda drawn: np.stack([drawn, drawn]),
    "sum": np.sum,
    "count_nonzero": np.count_nonzero,
    "ufunc's where": lambda drawn: np.add(X, X, where=drawn),
    "sum's where": lambda drawn: X.sum(where=drawn),
    "dot": X.dot,
    "copyto": lambda drawn: np.copyto(X.copy(), drawn),
    "negative": operator.neg,
    "invert": operator.invert,
    "abs": abs,
    "divmod": lambda drawn: divmod(drawn, 2),
    "itself": lambda drawn: drawn * drawn,
    "less than itself": lambda drawn: drawn < drawn,
    "multiplied in place": lambda drawn: operator.imul(X.copy(), drawn),
    "added in place": lambda drawn: operator.iadd(X.copy(), drawn),
}


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("use", USES)
def test_a_use_as_an_array_is_refused(kind, use):
    refuse(lambda: USES[use](DRAWN[kind]), TypeError, f"a {kind} is not an array", *REMEDY[kind])


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("name", BINARY)
def test_an_operator_is_refused_on_either_side_of_every_array_and_number(kind, name):
    apply, drawn = getattr(operator, name), DRAWN[kind]
    for other in OTHERS:
        for call in (lambda other=other: apply(drawn, other), lambda other=other: apply(other, drawn)):
            refuse(call, TypeError, f"a {kind} is not an array", *REMEDY[kind])


@pytest.mark.parametrize("kind", DRAWN)
def test_an_attribute_of_arrays_is_missed_with_the_remedy(kind):
    drawn = DRAWN[kind]
    for name in ("T", "dtype", "mean", "sum", "astype", "reshape", "all"):
        wanted = f"'{kind}' object has no attribute '{name}': a {kind} is not an array"
        refuse(lambda name=name: getattr(drawn, name), AttributeError, wanted, *REMEDY[kind])
        assert not hasattr(drawn, name)
    for name in ("kind_of", "_p", "__array_interface__"):
        with pytest.raises(AttributeError) as caught:
            getattr(drawn, name)
        assert str(caught.value) == f"'{kind}' object has no attribute '{name}'"
        assert (caught.value.name, caught.value.obj) == (name, drawn)


class Foreign:
    """An array of another library, which knows no masks."""

    def __array__(self, dtype=None, copy=None):
        return X


@pytest.mark.parametrize("kind", DRAWN)
def test_arrays_of_other_libraries_are_arrays(kind):
    for name in BINARY:
        for other in (Foreign(), decimal.Decimal(1), fractions.Fraction(1, 2)):
            refuse(
                lambda name=name, other=other: getattr(operator, name)(other, DRAWN[kind]),
                *(TypeError, f"a {kind} is not an array", *REMEDY[kind]),
            )


@pytest.mark.parametrize("kind", DRAWN)
def test_a_tuple_that_was_not_taken_apart_is_no_array(kind):
    returned = FORWARD[kind](X)
    for call in (
        lambda: np.maximum(returned, 0),
        lambda: returned @ W,
        lambda: returned + X[0],
        lambda: X * returned,
        lambda: np.asarray(returned),
        lambda: fastdrop.dropout(returned),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert all(text in str(caught.value) for text in REMEDY[kind])


@pytest.mark.parametrize("kind", DRAWN)
def test_it_is_neither_true_nor_false(kind):
    wanted = f"a {kind} is neither true nor false: write {REMEDY[kind][0].split('.')[0]} is not None"
    refuse(lambda: bool(DRAWN[kind]), TypeError, wanted)
    refuse(lambda: not DRAWN[kind], TypeError, wanted)


@pytest.mark.parametrize("kind", DRAWN)
def test_what_is_no_number_and_no_array_is_unequal(kind):
    drawn = DRAWN[kind]
    (other,) = (value for value in DRAWN.values() if value is not drawn)
    again = type(drawn)((2, 3), 0.5, seed=0)
    for value in (None, "mask", other, drawn[1:], object(), {}, type(drawn)((2, 3), seed=1)):
        assert (drawn == value, value == drawn, drawn != value, value != drawn) == (False, False, True, True)
    assert (drawn == again, drawn != again, hash(drawn)) == (True, False, hash(again))
    assert drawn in [None, other, again]
    assert drawn not in (None, other)
    assert not hasattr(drawn, "__dict__")


@pytest.mark.parametrize("kind", DRAWN)
def test_its_length_and_elements_are_those_of_the_first_axis(kind):
    drawn = DRAWN[kind]
    assert (len(drawn), list(drawn)) == (2, [drawn[0], drawn[1]])
    first, second = drawn
    assert same_bytes(np.stack([first.to_numpy(), second.to_numpy()]), drawn.to_numpy())
    assert list(drawn[:0]) == list(type(drawn)((0, 3))) == []
    refuse(lambda: len(drawn[0, 0]), TypeError, f"a {kind} without axes has no len()")
    refuse(lambda: list(drawn[0, 0]), TypeError, f"a {kind} without axes cannot be iterated over")


def test_where_an_array_is_wanted_the_message_says_how_to_get_it():
    mask = DRAWN["Mask"]
    refuse(lambda: fastdrop.dropout(mask), TypeError, "x must be an array of float16", *REMEDY["Mask"])
    refuse(lambda: fastdrop.dropout_backward(mask, mask), TypeError, "dy must be an array", *REMEDY["Mask"])
    refuse(
        lambda: fastdrop.Mask.from_array(mask), TypeError, "keep must be an array of bool", *REMEDY["Mask"]
    )
