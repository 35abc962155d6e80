# SPDX-License-Identifier: BSD-3-Clause
"""The cross entropy of classes: its loss, its gradient, rows that do not count, and arrays of every form."""

import math

import mpmath as mp
import numpy as np
import pytest

import fastdrop
from arrays import ALL_LAYOUTS, DTYPES, same_bytes
from bounded import Bounded
from fastdrop.reference import SOFTMAX_OPERATIONS, computed_with
from softmax_formulas import Softmax, constant

SHAPE = ROWS, CLASSES = 6, 37
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def normal(seed, dtype="float32", shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


TARGETS = np.random.default_rng(5).integers(0, CLASSES, ROWS)
IGNORING = np.where(np.arange(ROWS) % 3 == 1, -100, TARGETS)


def reference(logits, targets):
    """The losses of rows, and the gradient."""
    count = np.count_nonzero(targets >= 0)
    places = targets.astype(computed_with(logits.dtype))
    keep = np.ones(logits.shape, bool)
    dlogits, losses = SOFTMAX_OPERATIONS["cross_entropy"](keep, logits, places, 1.0 / count)
    return losses, dlogits


# --- Values -------------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (3,), (2, 3, 40), (70, 33), (2, 1000)], ids=str)
def test_it_is_the_references(isa, shape, dtype):
    logits = normal(0, dtype, shape)
    targets = np.random.default_rng(5).integers(0, shape[-1], shape[:-1])
    losses, dlogits = reference(logits, targets)
    loss, gradient = fastdrop.cross_entropy(logits, targets)
    assert same_bytes(gradient, dlogits)
    assert type(loss) is float
    assert loss == math.fsum(np.ravel(losses).tolist()) / losses.size


def test_the_mean_is_rounded_once_and_divided_once():
    """Of losses that no sum of floats in order adds up."""
    logits = np.zeros((4001, 2))
    logits[0, 0] = 2.0**54  # the loss of class 1, beside those of ln 2
    targets = np.ones(4001, int)
    loss, _ = fastdrop.cross_entropy(logits, targets)
    with mp.workprec(200):
        ln2 = mp.mpf(float(np.log(2.0)))  # the row's, rounded
        exact = mp.mpf(2) ** 54 + 4000 * ln2
        assert loss == float(exact) / 4001
    assert loss > 2.0**54 / 4001  # which a sum from the first on would give


@every_dtype
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_losses_and_gradients_are_exact_up_to_their_roundings(spread, dtype):
    own = computed_with(dtype)
    logits = (spread * normal(0, "float64")).astype(dtype)
    wide = logits.astype(own)
    exact = Softmax(Bounded(wide, own), 1.0, None, np.ones(SHAPE, bool))
    rows = np.arange(ROWS)
    target = Bounded(wide, own)[rows, TARGETS] - exact.shift[:, 0]
    losses = exact.logarithm()[:, 0] - target
    loss, dlogits = fastdrop.cross_entropy(logits, TARGETS)
    mean = losses.value.sum() / ROWS
    assert abs(loss - mean) <= losses.error.sum() / ROWS + 2.0**-51 * mean
    factor = constant(1 / np.longdouble(ROWS), own)
    gradient = exact.weights * factor
    of_targets = (exact.weights[rows, TARGETS] - 1) * factor
    gradient.value[rows, TARGETS] = of_targets.value
    gradient.error = gradient.error.copy()
    gradient.error[rows, TARGETS] = of_targets.error
    gradient.check(dlogits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_log_softmax_at_the_targets(dtype):
    logits = normal(0, dtype)
    losses = -fastdrop.log_softmax(logits)[np.arange(ROWS), TARGETS]
    loss, dlogits = fastdrop.cross_entropy(logits, TARGETS)
    # (x - shift) - ln and ln - (x - shift) are the same number but for the sign.
    assert loss == math.fsum(losses.tolist()) / ROWS
    dy = np.zeros(SHAPE, dtype)
    dy[np.arange(ROWS), TARGETS] = -1 / ROWS
    through = fastdrop.log_softmax_backward(dy, fastdrop.log_softmax(logits))
    # y is above -8, so that its rounding moves e^y by 8 half units at the most. That takes 4 more, and the
    # sum of a softmax with its two steps 9. The rest are single roundings of numbers up to 1/6.
    assert abs(through - dlogits).max() < 32 * np.finfo(dtype).eps / 2 / ROWS


def test_the_gradient_is_the_slope_of_the_loss():
    """By differences in mpmath: of the exact loss, which the tests above have judged."""
    logits = normal(0, "float64")
    _, dlogits = fastdrop.cross_entropy(logits, IGNORING, ignore_index=-100)
    step, counted = mp.mpf(2) ** -60, np.flatnonzero(IGNORING >= 0)
    with mp.workprec(300):
        for row in range(ROWS):
            powers = [mp.exp(mp.mpf(value)) for value in logits[row].tolist()]
            total = sum(powers)
            for column in (0, 11, max(IGNORING[row], 0)):
                slope = mp.mpf(0)
                if row in counted:
                    up = mp.log(total + powers[column] * (mp.exp(step) - 1))
                    down = mp.log(total + powers[column] * (mp.exp(-step) - 1))
                    slope = ((up - down) / (2 * step) - (column == IGNORING[row])) / len(counted)
                # A weight is off by 4 half units in e^x, 7 in the sum, and 2; the rest are single roundings.
                assert abs(float(slope) - dlogits[row, column]) < 16 * 2.0**-53


# --- Rows that do not count ---------------------------------------------------------------------------------


@every_dtype
def test_rows_that_are_ignored_have_no_loss_and_no_gradient(isa, dtype):
    logits, counted = normal(0, dtype), IGNORING >= 0
    loss, dlogits = fastdrop.cross_entropy(logits, IGNORING, ignore_index=-100)
    wanted, gradient = fastdrop.cross_entropy(logits[counted], TARGETS[counted])
    assert loss == wanted
    assert same_bytes(dlogits[counted], gradient)
    assert same_bytes(dlogits[~counted], np.zeros(((~counted).sum(), CLASSES), dtype))
    out = np.full(SHAPE, 7, dtype)
    fastdrop.cross_entropy(logits, IGNORING, ignore_index=-100, out=out)
    assert same_bytes(out, dlogits)
    logits[~counted] = np.nan
    assert fastdrop.cross_entropy(logits, IGNORING, ignore_index=-100)[0] == wanted


def test_any_index_may_be_ignored_also_that_of_a_class():
    logits = normal(0)
    wanted = fastdrop.cross_entropy(logits, IGNORING, ignore_index=-100)
    for index in (-1, 255, CLASSES, 2**62, np.int64(-7)):
        if index not in TARGETS:
            own = np.where(IGNORING == -100, index, TARGETS)
            loss, dlogits = fastdrop.cross_entropy(logits, own, ignore_index=index)
            assert (loss, dlogits.tobytes()) == (wanted[0], wanted[1].tobytes())
    first = int(TARGETS[0])
    ignored = np.isin(TARGETS, first)
    loss, dlogits = fastdrop.cross_entropy(logits, TARGETS, ignore_index=first)
    assert loss == fastdrop.cross_entropy(logits[~ignored], TARGETS[~ignored])[0]
    assert (dlogits[ignored] == 0).all()


@every_dtype
def test_of_no_row_there_is_no_mean(dtype):
    for shape in ((0, 4), (2, 0, 4)):
        loss, dlogits = fastdrop.cross_entropy(np.zeros(shape, dtype), np.zeros(shape[:-1], int))
        assert math.isnan(loss)
        assert same_bytes(dlogits, np.zeros(shape, dtype))
    loss, dlogits = fastdrop.cross_entropy(normal(0, dtype), np.full(ROWS, -1), ignore_index=-1)
    assert math.isnan(loss)
    assert same_bytes(dlogits, np.zeros(SHAPE, dtype))


def test_of_half_precision_the_loss_is_that_of_single():
    """Logits whose losses float16 would not hold, and a count beyond its integers."""
    rows = 4099
    logits = np.tile(np.array([[0, 6e4]], "float16"), (rows, 1))
    targets = np.arange(rows) % 2
    loss, dlogits = fastdrop.cross_entropy(logits, targets)
    assert loss == fastdrop.cross_entropy(logits.astype("float32"), targets)[0]
    wrong = np.count_nonzero(targets == 0)
    assert loss == float(logits[0, 1]) * wrong / rows
    assert same_bytes(dlogits[0], np.array([-1 / rows, 1 / rows], "float16"))


def test_what_cannot_be_predicted_costs_infinitely_much():
    logits = np.array([[-np.inf, 0.0], [0.0, 0.0]], np.float32)
    loss, dlogits = fastdrop.cross_entropy(logits, [0, 1])
    assert loss == math.inf
    assert dlogits.tolist() == [[-0.5, 0.5], [0.25, -0.25]]


# --- Arrays -------------------------------------------------------------------------------------------------


@every_dtype
def test_targets_of_every_kind(dtype):
    logits = normal(0, dtype)
    loss, dlogits = fastdrop.cross_entropy(logits, TARGETS)
    kinds = [TARGETS.astype(kind) for kind in ("u1", "i2", ">i4", "u8")]
    for targets in (*kinds, TARGETS.tolist(), tuple(TARGETS.tolist()), np.repeat(TARGETS, 2)[::2]):
        again, gradient = fastdrop.cross_entropy(logits, targets)
        assert again == loss
        assert same_bytes(gradient, dlogits)
    row = fastdrop.cross_entropy(logits[0], TARGETS[0])
    wanted = fastdrop.cross_entropy(logits[:1], TARGETS[:1])
    assert row[0] == wanted[0]
    assert same_bytes(row[1], wanted[1][0].copy())


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
@every_dtype
def test_every_layout_gives_the_same_bits(dtype, layout):
    lay, logits = ALL_LAYOUTS[layout], normal(0, dtype)
    loss, dlogits = fastdrop.cross_entropy(logits, TARGETS)
    again, gradient = fastdrop.cross_entropy(lay(logits), TARGETS)
    assert again == loss
    assert same_bytes(gradient, dlogits)
    if layout != "read-only":
        for out in (lay(np.zeros(SHAPE, dtype)), lay(logits)):
            given = out if np.asarray(out)[0, 0] != 0 else logits
            again, gradient = fastdrop.cross_entropy(given, TARGETS, out=out)
            assert again == loss
            assert gradient is out
            assert same_bytes(np.ascontiguousarray(np.asarray(out), dlogits.dtype), dlogits)


def test_threads_and_shards(threads):
    shape = 5 * 64, 900
    logits, targets = normal(0, shape=shape), np.arange(320)
    wanted = fastdrop.cross_entropy(logits, targets)
    for count in (1, 2, 7):
        with threads(count):
            loss, dlogits = fastdrop.cross_entropy(logits, targets)
        assert loss == wanted[0]
        assert same_bytes(dlogits, wanted[1])
    parts = [fastdrop.cross_entropy(logits[at : at + 64], targets[at : at + 64]) for at in range(0, 320, 64)]
    # Gradients are divided by the rows of a shard.
    joined = np.concatenate([dlogits for _, dlogits in parts])
    assert abs(joined / 5 - wanted[1]).max() < 8 * 2.0**-24 / 320
    assert abs(sum(loss for loss, _ in parts) / 5 - wanted[0]) < 16 * 2.0**-53 * wanted[0]


def test_more_classes_than_float32_counts_are_refused():
    logits, out = np.zeros((1, 2**24 + 1), np.float16), np.ones((1, 2**24 + 1), np.float16)
    with pytest.raises(ValueError, match="logits must have at most 16777216 classes, or be of float64, not"):
        fastdrop.cross_entropy(logits, [0], out=out)
    assert out.all()
    loss, dlogits = fastdrop.cross_entropy(logits[:, 1:], [2**24 - 1])  # the last one that there may be
    assert abs(loss - 24 * np.log(2)) < 1e-5
    assert np.flatnonzero(dlogits < 0).tolist() == [2**24 - 1]


def test_a_mean_whose_sum_overflows():
    loss, _ = fastdrop.cross_entropy(np.array([[1.5e308, 0.0]] * 4), [1, 1, 1, 1])
    assert loss == 1.5e308
