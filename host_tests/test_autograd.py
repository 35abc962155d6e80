# SPDX-License-Identifier: BSD-3-Clause
"""HIPS autograd differentiates through fastdrop.autograd: numerical derivatives and NumPy's masks judge."""

import autograd
import autograd.numpy as anp
import ml_dtypes
import numpy as np
import pytest
from autograd.test_util import check_grads

import fastdrop
from fastdrop import reference
from fastdrop.autograd import dropout, gaussian_dropout
from refusal import refuse

SHAPE = (3, 4)
MASKS = {
    "mask": fastdrop.Mask(SHAPE, 0.4, seed=1),
    "whole rows": fastdrop.Mask(SHAPE, 0.5, noise_shape=(None, 1), seed=4),
    "a p for each column": fastdrop.Mask(SHAPE, np.array([0, 0.2, 0.8, 1]), seed=2),
    "not inverted": fastdrop.Mask(SHAPE, 0.4, inverted=False, seed=1),
    "window": fastdrop.Mask((30, 40), 0.4, seed=3)[10:13, 20:28:2],
    "own": fastdrop.Mask.from_array(np.arange(12).reshape(SHAPE) % 3 > 0, p=0.5),
}
X = np.random.default_rng(0).standard_normal(SHAPE)
NOISE = fastdrop.GaussianNoise(SHAPE, 0.4, seed=1)


def factors(mask):
    """What a mask multiplies by, without `Mask.apply`."""
    return np.where(mask.to_numpy(), mask.scale, 0.0)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_derivatives_of_every_order_and_mode_are_the_numerical_ones(mask):
    """The functions around it are curved, so that no derivative of the whole vanishes."""
    check_grads(lambda x: anp.sin(dropout(anp.exp(x), mask)), modes=["fwd", "rev"], order=3)(X)


def test_derivatives_through_gaussian_noise():
    check_grads(lambda x: anp.sin(gaussian_dropout(anp.exp(x), NOISE)), modes=["fwd", "rev"], order=3)(X)


def test_check_grads_sees_a_mask_that_is_drawn_twice():
    """A test of the test."""
    masks = fastdrop.MaskGenerator(0)
    with pytest.raises(AssertionError):
        check_grads(lambda x: dropout(x, masks.mask(SHAPE, 0.5)), modes=["rev"], order=1)(X)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_result_and_gradient_have_the_bits_of_numpy_and_of_the_reference(dtype):
    x, slow = X.astype(dtype), reference.Mask(SHAPE, 0.4, seed=1)
    y = dropout(x, MASKS["mask"])
    assert y.dtype == x.dtype
    assert y.tobytes() == MASKS["mask"].apply(x).tobytes() == slow.apply(x).tobytes()
    pull_back, _ = autograd.make_vjp(lambda x: dropout(x, MASKS["mask"]))(x)
    assert pull_back(x).tobytes() == slow.apply(x).tobytes()


def test_gaussian_noise_has_the_bits_of_numpy_and_of_the_reference():
    x, slow = X.astype(np.float32), reference.Noise(SHAPE, 0.4, seed=1)
    assert gaussian_dropout(x, NOISE).tobytes() == NOISE.apply(x).tobytes() == slow.apply(x).tobytes()
    slope = autograd.elementwise_grad(gaussian_dropout)(x, NOISE)
    assert slope.tobytes() == NOISE.to_numpy().tobytes()


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_operators_of_autograd(mask):
    expected = factors(mask)
    f = lambda x: dropout(x, mask)  # noqa: E731
    loss = lambda x: anp.sum(dropout(x, mask) ** 3)  # noqa: E731
    assert (autograd.elementwise_grad(f)(X) == expected).all()
    assert (autograd.elementwise_grad(lambda x: dropout(x=x, mask=mask))(X) == expected).all()
    diagonal = autograd.jacobian(f)(X).reshape(12, 12)
    assert (diagonal == np.diag(expected.ravel())).all()
    assert (autograd.make_jvp(f)(X)(X)[1] == mask.apply(X)).all()
    product = autograd.hessian_vector_product(loss)(X, np.ones(SHAPE))
    np.testing.assert_allclose(product, 6 * expected**3 * X, rtol=1e-14)  # five roundings of 2**-53
    value, gradient = autograd.value_and_grad(loss)(X)
    again = autograd.grad(autograd.checkpoint(loss))(X)
    assert value == loss(X)
    assert (gradient == again).all()


def test_what_is_dropped_stops_nan_in_both_directions():
    mask = fastdrop.Mask(8, 0.5, seed=1)
    x = np.where(mask.to_numpy(), 1.0, np.nan)
    pull_back, y = autograd.make_vjp(lambda x: dropout(x, mask))(x)
    assert (y == factors(mask)).all()
    assert (pull_back(x) == factors(mask)).all()


def test_a_mask_of_your_own_is_broadcast():
    rows = fastdrop.Mask.from_array(np.array([[True], [False], [True]]), p=0.5)
    slope = autograd.elementwise_grad(lambda x: dropout(x, rows))(X)
    assert (slope == [[2.0] * 4, [0.0] * 4, [2.0] * 4]).all()


def test_a_number_is_an_array_without_axes():
    mask = fastdrop.Mask((), 0.5, seed=2)
    assert autograd.grad(lambda x: dropout(x, mask) * x)(3.0) == 6 * factors(mask)


def test_a_mask_for_each_step_of_an_optimizer():
    """autograd's optimizers give the number of the step, which is the stream."""
    from autograd.misc.optimizers import sgd

    target, seen = np.arange(4.0), []

    def loss(w, step):
        seen.append(fastdrop.Mask(4, 0.5, seed=0, stream=step))
        return anp.sum(dropout(w - target, seen[-1]) ** 2)

    w = sgd(autograd.grad(loss), np.zeros(4), num_iters=50, step_size=0.1, mass=0.0)
    by_hand = np.zeros(4)
    for step in range(50):
        twice = factors(fastdrop.Mask(4, 0.5, seed=0, stream=step)) ** 2
        by_hand -= 0.1 * 2 * twice * (by_hand - target)
    assert [mask.stream for mask in seen] == list(range(50))
    np.testing.assert_allclose(w, by_hand, rtol=1e-13)  # it contracts: the roundings of each step stay small


@pytest.mark.parametrize("given", [fastdrop.MaskGenerator(0), 0.5, 0, None, np.random.default_rng(0)])
def test_what_would_draw_anew_in_every_pass_is_refused(given):
    shared = "make it before the call, so that all passes share it"
    refuse(lambda: dropout(X, given), TypeError, "mask must be a fastdrop.Mask, not", shared, "masks.mask(")
    start = "noise must be a fastdrop.GaussianNoise, not"
    refuse(lambda: gaussian_dropout(X, given), TypeError, start, shared, "fastdrop.GaussianNoise(x.shape")
    refuse(lambda: autograd.grad(lambda x: anp.sum(dropout(x, given)))(X), TypeError, "mask must be")


def test_other_refusals():
    mask = MASKS["mask"]
    refuse(lambda: dropout(X, X > 0), TypeError, "mask must be", "Mask.from_array(keep, p)")
    refuse(lambda: dropout(X, NOISE), TypeError, "mask must be", "gaussian_dropout(x, noise) takes that")
    refuse(lambda: gaussian_dropout(X, mask), TypeError, "noise must be", "dropout(x, mask) takes that")
    refuse(lambda: dropout(X[:2], mask), ValueError, "x must have the shape (3, 4), not (2, 4)")
    refuse(lambda: gaussian_dropout(X > 0, NOISE), TypeError, "x must be an array of float16", "bool")
