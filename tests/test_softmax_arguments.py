# SPDX-License-Identifier: BSD-3-Clause
"""What softmax, its logarithm, and the cross entropy refuse, with `out` untouched."""

import math

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES
from fused_functions import DRAWN, SHAPE, X, ones, untouched
from refusal import refuse

TARGETS = np.array([0, 5, 2, 3])
FLOATS = "must be an array of float16, bfloat16, float32 or float64, not"


def softmax_dropout(scores=X, *arguments, **options):
    return fastdrop.softmax_dropout(scores, *arguments, **{"rng": 0, **options})


def cross_entropy(logits=X, targets=TARGETS, **options):
    return fastdrop.cross_entropy(logits, targets, **options)


FIRST = {
    "softmax_dropout": (softmax_dropout, "scores"),
    "softmax": (fastdrop.softmax, "x"),
    "log_softmax": (fastdrop.log_softmax, "x"),
    "cross_entropy": (cross_entropy, "logits"),
}
every_function = pytest.mark.parametrize(("function", "name"), FIRST.values(), ids=FIRST)
BACK = [fastdrop.softmax_backward, fastdrop.log_softmax_backward]

# --- Scores -------------------------------------------------------------------------------------------------


@every_function
def test_what_is_no_array_of_floats_or_has_no_axis(function, name):
    for x in (3.0, np.float32(3), np.array(3.0)):
        refuse(lambda x=x: function(x), ValueError, f"{name} must have at least one axis")
    for x in (np.ones(SHAPE, int), np.ones(SHAPE, complex), [["a"]], [[1.0], [1.0, 2.0]], DRAWN):
        untouched(lambda out, x=x: function(x, out=out), TypeError, f"{name} {FLOATS}", out=ones())
    masked = np.ma.array(X)
    untouched(lambda out: function(masked, out=out), TypeError, f"{name} {FLOATS}", "mask would", out=ones())


@every_function
def test_an_out_that_does_not_fit(function, name):
    untouched(lambda out: function(X, out=out), TypeError, f"out must have the dtype of {name}",
              out=ones("float64"))  # fmt: skip
    untouched(
        lambda out: function(X, out=out), ValueError, f"out must have the shape of {name}", out=ones()[:3]
    )
    for wrong in (False, [1.0], X.tolist()):
        refuse(lambda wrong=wrong: function(X, out=wrong), TypeError, "out must be a numpy.ndarray, not")
    read_only = ones()
    read_only.flags.writeable = False
    untouched(lambda out: function(X, out=out), ValueError, "out must be writeable", out=read_only)
    larger = np.zeros((8, 6), np.float32)
    message = f"out must be {name} itself or not overlap it"
    untouched(lambda out: function(larger[:4], out=out), ValueError, message, out=larger[1:5])
    masked = np.ma.array(ones())
    refuse(lambda: function(X, out=masked), TypeError, "out must be a numpy.ndarray, not a MaskedArray")


@every_function
def test_an_axis_is_not_chosen(function, name):
    """It is always the last one: nothing is taken for another."""
    for option in ("axis", "dim", "dtype", "reduction"):
        with pytest.raises(TypeError, match=option):
            function(X, **{option: -1})
    if function is not softmax_dropout and function is not cross_entropy:
        with pytest.raises(TypeError, match="positional"):
            function(X, -1)


# --- softmax_dropout ----------------------------------------------------------------------------------------


def test_numbers_and_flags():
    for value in (math.nan, math.inf, 10**400):
        untouched(lambda out, value=value: softmax_dropout(scale=value, out=out), ValueError,
                  "scale must be finite, not", out=ones())  # fmt: skip
    for value in (True, None, "1", 1j, np.ones(1)):
        refuse(
            lambda value=value: softmax_dropout(scale=value), TypeError, "scale must be a real number, not"
        )
    for value in (None, 2, "yes", np.ones(1, bool)):
        refuse(
            lambda value=value: softmax_dropout(is_causal=value), TypeError, "is_causal must be True or False"
        )
    message = "is_causal needs scores of queries and keys, two axes, not the shape (6,)"
    refuse(lambda: softmax_dropout(X[0], is_causal=True), ValueError, message)
    softmax_dropout(X[0], is_causal=False)
    untouched(lambda out: softmax_dropout(p=1.5, out=out), ValueError, "p must be from 0 to 1", out=ones())
    refuse(lambda: softmax_dropout(p="0.5"), TypeError, "p must be a real number")
    refuse(lambda: softmax_dropout(p=50, training=False), ValueError, "p must be from 0 to 1", "write 0.5")
    refuse(lambda: softmax_dropout(training="test"), TypeError, "training must be True or False")
    refuse(
        lambda: softmax_dropout(p=0.5, noise_shape=(3, 1)), ValueError, "noise_shape must have for every axis"
    )
    refuse(lambda: softmax_dropout(p=0.5, rng="0"), TypeError, "rng must be")
    with pytest.raises(TypeError, match="positional"):
        softmax_dropout(X, 0.5, 0.125)  # a scale goes by its name


def test_what_is_refused_before_a_mask_is_drawn():
    masks = fastdrop.MaskGenerator(0)
    before = masks.state
    for options, kind in [
        ({"scale": math.nan}, ValueError),
        ({"is_causal": None}, TypeError),
        ({"attn_mask": np.ones(6, int)}, TypeError),
        ({"attn_mask": np.ones(5, bool)}, ValueError),
        ({"training": "test"}, TypeError),
        ({"p": 2.0}, ValueError),
        ({"noise_shape": (3, 1)}, ValueError),
    ]:
        refuse(lambda options=options: softmax_dropout(**{"p": 0.5, "rng": masks, **options}), kind, "")
    assert masks.state == before


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_attn_mask_that_does_not_fit(dtype):
    scores = ones(dtype)
    own = np.dtype(dtype)

    def untouched_by(attn_mask, kind, *fragments):
        untouched(lambda out: softmax_dropout(scores, attn_mask=attn_mask, out=out), kind, *fragments,
                  out=ones(dtype))  # fmt: skip

    wanted = f"attn_mask must be an array of bool, True where a query may attend, or of {own}, which is added"
    for wrong in (
        np.ones(6, int),
        1,
        np.ones(6, "u1"),
        np.ones(6, complex),
        "causal",
        [[0.0], [1.0, 2.0]],
        DRAWN,
    ):
        untouched_by(wrong, TypeError, wanted)
    untouched_by(np.ma.array(np.ones(6, bool)), TypeError, wanted, "whose mask would be lost")
    for other in DTYPES:
        if other != dtype:
            message = f"attn_mask must have the dtype of scores, {own}, or bool, not {np.dtype(other)}"
            untouched_by(np.ones(6, other), TypeError, message, "numpy.asarray(attn_mask, scores.dtype)")
    for shape in ((4,), (6, 4), (1, 4, 6), (2, 4, 6), (5, 6), (0,)):
        message = f"attn_mask must have a shape that broadcasts to (4, 6), not {shape}"
        untouched_by(np.ones(shape, bool), ValueError, message)


def test_a_mask_that_does_not_fit():
    wrong = [
        (
            fastdrop.Mask((2, *SHAPE), 0.5),
            ValueError,
            "mask must have the shape of scores, (4, 6), not (2, 4, 6)",
        ),
        (DRAWN[:3], ValueError, "mask must have the shape of scores, (4, 6), not (3, 6)"),
        (X > 0, TypeError, "mask must be a fastdrop.Mask, not", "; make a mask of an array with"),
        (0.5, TypeError, "mask must be a fastdrop.Mask, not 0.5"),
    ]
    for mask, kind, *fragments in wrong:
        call = lambda out, mask=mask: softmax_dropout(mask=mask, rng=None, out=out)  # noqa: E731
        untouched(call, kind, *fragments, out=ones())
    for name, value in {"p": 0.5, "rng": 0, "noise_shape": (None, 1)}.items():
        options = {"rng": None, "mask": DRAWN, name: value}
        wanted = f"mask must not be given together with {name}"
        refuse(lambda options=options: softmax_dropout(**options), ValueError, wanted)


def test_a_weights_out_that_does_not_fit():
    call = lambda weights_out: softmax_dropout(p=0.5, weights_out=weights_out)  # noqa: E731
    untouched(call, TypeError, "weights_out must have the dtype of scores", weights_out=ones("float64"))
    untouched(call, ValueError, "weights_out must have the shape of scores", weights_out=ones()[:3])
    refuse(lambda: call(False), TypeError, "weights_out must be a numpy.ndarray or None, not False")
    both = np.zeros((8, 6), np.float32)
    for p in (0.0, 0.5):
        for weights_out in (both[:4], both[2:6]):
            untouched(lambda p=p, **outputs: softmax_dropout(p=p, **outputs), ValueError,
                      "weights_out must not overlap out: both are results",
                      out=both[:4], weights_out=weights_out)  # fmt: skip
    row = np.zeros(SHAPE, np.float32)
    message = "must be attn_mask itself or not overlap it, not share a part of its memory"
    for name in ("out", "weights_out"):
        untouched(lambda row, name=name: softmax_dropout(attn_mask=row[0], **{name: row}), ValueError,
                  f"{name} {message}", row=row)  # fmt: skip


# --- Backward passes ----------------------------------------------------------------------------------------


def test_the_gradient_of_softmax_dropout():
    y, saved = softmax_dropout(p=0.5)
    back = fastdrop.softmax_dropout_backward
    other = fastdrop.bias_dropout_add(X)[1]
    for wrong in (None, DRAWN, (y, saved), other):
        refuse(
            lambda wrong=wrong: back(y, wrong),
            TypeError,
            "saved must be the SavedSoftmaxDropout that softmax_",
        )
    refuse(
        lambda: back(saved, y), TypeError, "saved must be", "; the arguments are swapped: write the gradient"
    )
    refuse(lambda: back(y, (y, saved)), TypeError, "saved must be", "; take saved out of the result")
    message = "dy must have the dtype of scores, float32, not float64; write numpy.asarray(dy, scores.dtype)"
    untouched(lambda out: back(ones("float64"), saved, out=out), TypeError, message, out=ones("float64"))
    message = "dy must have the shape (4, 6), not (3, 6)"
    untouched(lambda out: back(X[:3], saved, out=out), ValueError, message, out=ones()[:3])
    untouched(lambda out: back(X, saved, out=out), TypeError, "out must have the dtype of dy", out=ones("f2"))
    refuse(lambda: back(X, saved, out=False), TypeError, "out must be a numpy.ndarray, not False")
    message = "out must not overlap saved.weights, which a backward pass reads"
    for out in (saved.weights, saved.weights[::-1]):
        untouched(lambda out: back(X, saved, out=out), ValueError, message, out=out)


@pytest.mark.parametrize("back", BACK)
def test_the_gradients_of_softmax_and_its_logarithm(back):
    message = "dy must have the dtype of y, float32, not float64; write numpy.asarray(dy, y.dtype)"
    untouched(lambda out: back(ones("float64"), X, out=out), TypeError, message, out=ones("float64"))
    message = "dy must have the shape (4, 6), not (3, 6)"
    untouched(lambda out: back(X[:3], X, out=out), ValueError, message, out=ones()[:3])
    refuse(lambda: back(X, X[0]), ValueError, "dy must have the shape (6,), not (4, 6)")
    for dy, y, name in ((X, X.astype(int), "y"), (X.astype(int), X, "dy"), (X, np.ma.array(X), "y")):
        untouched(lambda out, dy=dy, y=y: back(dy, y, out=out), TypeError, f"{name} {FLOATS}", out=ones())
    refuse(lambda: back(1.0, 1.0), ValueError, "y must have at least one axis")
    y = ones()
    untouched(lambda out: back(X, y, out=out), ValueError, "out must not overlap y, which a backward", out=y)
    refuse(lambda: back(X, y, out=False), TypeError, "out must be a numpy.ndarray, not False")
    with pytest.raises(TypeError, match="axis"):
        back(X, X, axis=-1)


# --- cross_entropy ------------------------------------------------------------------------------------------

ONE_HOT = np.eye(6, dtype=int)[TARGETS]
OF_EACH_ROW = "targets must be an array of one class for each row of logits, (4,), not"
WRONG = {
    "one hot": (ONE_HOT, ValueError, f"{OF_EACH_ROW} (4, 6)", "; write targets.argmax(axis=-1) if each"),
    "soft": (ONE_HOT * 0.5, ValueError, f"{OF_EACH_ROW} (4, 6)", "targets.argmax(axis=-1)"),
    "column": (TARGETS[:, np.newaxis], ValueError, f"{OF_EACH_ROW} (4, 1); write targets[..., 0]"),
    "few": (TARGETS[:3], ValueError, f"{OF_EACH_ROW} (3,)"),
    "number": (3, ValueError, f"{OF_EACH_ROW} ()"),
    "floats": (TARGETS * 1.0, TypeError, "targets must be an array of integers, not"),
    "bools": (TARGETS > 0, TypeError, "targets must be an array of integers, not"),
    "complex": (TARGETS * 1j, TypeError, "targets must be an array of integers, not"),
    "texts": (["0"] * 4, TypeError, "targets must be an array of integers, not"),
    "objects": (TARGETS.astype(object), TypeError, "targets must be an array of integers, not"),
    "ragged": ([[0], [0, 1], 0, 0], TypeError, "targets must be an array of integers, not", "inhomogeneous"),
    "masked": (np.ma.array(TARGETS), TypeError, "targets must be an array of integers", "mask would be lost"),
    "Mask": (DRAWN, TypeError, "targets must be an array of integers", "a Mask is not an array"),
    "above": (TARGETS + 1, ValueError, "targets must be from 0 to 5, the classes of logits, not 6"),
    "far above": (np.full(4, 2**63, "u8"), ValueError, "targets must be from 0 to 5", "not 922337"),
    "below": (
        TARGETS - 100, ValueError, "targets must be from 0 to 5, the classes of logits, not -100",
        "; write ignore_index=-100 to leave such rows out",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_targets_that_are_no_classes(wrong):
    targets, kind, *fragments = WRONG[wrong]
    untouched(lambda out: cross_entropy(targets=targets, out=out), kind, *fragments, out=ones())
    logits = ones()
    untouched(lambda out: cross_entropy(out, targets, out=out), kind, *fragments, out=logits)


def test_an_index_to_ignore_that_is_none():
    for wrong in (1.0, "a", True, [1], np.ones(1), math.nan):
        message = "ignore_index must be an integer, not"
        untouched(
            lambda out, wrong=wrong: cross_entropy(ignore_index=wrong, out=out),
            TypeError,
            message,
            out=ones(),
        )
    message = "targets must be from 0 to 5, the classes of logits, not -1; write ignore_index=-1"
    refuse(lambda: cross_entropy(targets=[-1, -100, 0, 0], ignore_index=-100), ValueError, message)
    with pytest.raises(TypeError, match="positional"):
        fastdrop.cross_entropy(X, TARGETS, -100)
    refuse(lambda: cross_entropy(np.ones((2, 0)), [0, 0]), ValueError, "targets must be from 0 to -1")


def test_what_other_packages_have():
    for option in ("weight", "label_smoothing", "reduction", "axis", "from_logits"):
        with pytest.raises(TypeError, match=option):
            cross_entropy(**{option: 1})
    refuse(lambda: fastdrop.cross_entropy(TARGETS, X), TypeError, f"logits {FLOATS}")
    # Classes are the last axis, not the second one.
    images = np.ones((2, 5, 3, 3), np.float32)
    message = "targets must be an array of one class for each row of logits, (2, 5, 3), not (2, 3, 3)"
    refuse(lambda: fastdrop.cross_entropy(images, np.zeros((2, 3, 3), int)), ValueError, message)
