# SPDX-License-Identifier: BSD-3-Clause
"""Every backward pass is the derivative of its forward pass, by finite differences of every single element.

Every y is linear in x, so that differences of any length have no error of truncation.
"""

import ml_dtypes
import numpy as np
import pytest

import fastdrop
from arrays import DTYPES
from kind_definitions import MASKS, SEED, P


def test_backward_is_the_adjoint_of_forward():
    """Powers of two and integers: the difference quotient is exact, so equality is derived, not hoped for."""
    rng = np.random.default_rng(0)
    x = rng.integers(-1000, 1000, 500).astype(np.float64)
    direction = rng.integers(-8, 8, 500).astype(np.float64)
    mask = fastdrop.Mask(500, 0.75, seed=0)  # scale 4
    quotient = mask.apply(x + direction) - mask.apply(x)
    assert (quotient == mask.apply(direction)).all()
    dy = rng.integers(-8, 8, 500).astype(np.float64)
    # <dy, J direction> = <J^T dy, direction>, and J is diagonal
    assert dy @ quotient == fastdrop.dropout_backward(dy, mask) @ direction


@pytest.mark.parametrize("p", [0.5, P])
@pytest.mark.parametrize("name", MASKS)
def test_gradients_of_masks_are_finite_differences(name, p):
    """Of L = sum(dy * y), with the forward pass done again for each element.

    With steps of 1 from small integers and a scale of 1 or 2 all is exact. Otherwise, with |y| <= 4 s and
    |dy| <= 4, s the scale and u = 2**-53, the two y's err by up to 4 s u each and their rounded difference by
    s u more; times |dy|, these are 36 s u. The product with dy and the gradient itself are rounded too, each
    by up to 4 s u: together 44 s u, and 45 s u with what is of the order of u**2.
    """
    kind, rng = MASKS[name], np.random.default_rng(0)
    x = rng.integers(-3, 4, kind.shape).astype(np.float64)
    dy = rng.integers(1, 5, kind.shape).astype(np.float64)

    def forward(x):
        return kind.make(p, SEED).forward(x)

    layer = kind.make(p, SEED)
    y = layer.forward(x)
    gradient = layer.backward(dy)
    scales = np.unique(layer.mask.scale)
    exact = set(scales) <= {1.0, 2.0}
    assert exact or p != 0.5 or kind.define is not None
    differences = np.zeros_like(x)
    for index in np.ndindex(kind.shape):
        changed = x.copy()
        changed[index] += 1
        step = forward(changed) - y
        assert np.count_nonzero(step) <= 1
        differences[index] = (dy * step).sum()
    bound = 0 if exact else 45 * scales.max() * 2.0**-53
    assert np.abs(differences - gradient).max() <= bound
    assert np.count_nonzero(gradient) == np.count_nonzero(layer.mask.to_numpy())


NOISE = {
    "alpha": (fastdrop.alpha_dropout, fastdrop.alpha_dropout_backward),
    "feature alpha": (fastdrop.feature_alpha_dropout, fastdrop.alpha_dropout_backward),
    "Gaussian": (fastdrop.gaussian_dropout, fastdrop.gaussian_dropout_backward),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NOISE)
def test_gradients_of_alpha_and_gaussian_dropout_are_finite_differences(name, dtype):
    """By steps of 2; values stay below 8 (1 + |slope|).

    Each y is rounded twice at most, and each time off by half an epsilon of that; the difference of two is
    divided by 4, which leaves 4 epsilons of 1 + |slope|. With the rounding of dx there are less than 5.
    """
    (forward, backward), rng = NOISE[name], np.random.default_rng(0)
    x, dy = (rng.standard_normal((20, 25)).astype(dtype) for _ in range(2))
    _, drawn = forward(x, 0.3, rng=4)
    dx = backward(dy, drawn)
    for i in np.ndindex(20, 5):
        more, less = x.copy(), x.copy()
        more[i] += 2
        less[i] -= 2
        y, other = (forward(values, 0.3, rng=4)[0].astype(float) for values in (more, less))
        slope = (y - other) / (float(more[i]) - float(less[i]))
        allowed = 5 * ml_dtypes.finfo(dtype).eps * (1 + abs(slope[i])) * max(1, abs(float(dy[i])))
        assert abs(slope[i] * float(dy[i]) - float(dx[i])) <= allowed
        slope[i] = 0
        assert not slope.any()
