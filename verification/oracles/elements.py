# SPDX-License-Identifier: BSD-3-Clause
"""Operations on elements, by the textbook: dropout, alpha dropout, Gaussian dropout, and masks themselves."""

import numpy as np

import fastdrop
from bounded import Bounded

from . import decisions
from .case import SEED, STREAM, WORDS, Case, P

H = 2.0**-24  # docs/stream.md, section 8: a normal number is within 15 h r of that of Box and Muller
ALPHA = -1.7580993408473766  # section 7


def dropout(draw):
    x, dy = draw.element(), draw.element()

    def compute():
        return [draw.mask.apply(x), fastdrop.dropout_backward(dy, draw.mask)], None

    def textbook(_):
        return [(draw.bounded(a) * draw.scale).where(draw.keep) for a in (x, dy)]

    yield Case("dropout", compute, textbook)


def keep_mask(draw):
    yield Case("keep_mask", lambda: ([draw.mask.to_numpy()], None), lambda _: [Bounded(draw.keep, "float64")])


def affine(draw):
    """a, b and c of the document, each of its steps rounded in float64."""
    one, p, alpha = (Bounded(value, "float64") for value in (1.0, P, ALPHA))
    a = one / ((one - p) * (one + p * (alpha * alpha))).sqrt()
    b = Bounded(0.0, "float64") - a * p * alpha
    return [draw.as_own(constant) for constant in (a, b, a * alpha + b)]


def alpha_dropout(draw):
    x, dy = draw.element(), draw.element()
    a, b, c = affine(draw)

    def compute():
        rng = fastdrop.MaskGenerator(SEED, generator=draw.generator)
        y, mask = fastdrop.alpha_dropout(x, P, rng=rng)
        return [y, fastdrop.alpha_dropout_backward(dy, mask)], None

    def textbook(_):
        kept = draw.bounded(x) * a + b
        y = Bounded(
            np.where(draw.keep, kept.value, c.value), draw.own, np.where(draw.keep, kept.error, c.error)
        )
        return [y, (draw.bounded(dy) * a).where(draw.keep)]

    yield Case("alpha_dropout", compute, textbook)


def gaussian_dropout(draw):
    x, dy = draw.element(), draw.element()
    size = -(-x.size // 32) * 32
    noise = fastdrop.GaussianNoise(draw.shape, P, **draw.source())

    def compute():
        return [noise.apply(x), fastdrop.gaussian_dropout_backward(dy, noise)], None

    def textbook(_):
        z, radius = decisions.normals(draw.generator, WORDS, STREAM, size)
        z, radius = z[: x.size].reshape(x.shape), radius[: x.size].reshape(x.shape)
        one, p = Bounded(1.0, "float64"), Bounded(P, "float64")
        deviation = draw.as_own((p / (one - p)).sqrt())
        factor = deviation * Bounded(z, draw.own, 15 * H * radius) + Bounded(1.0, draw.own)
        return [draw.bounded(a) * factor for a in (x, dy)]

    yield Case("gaussian_dropout", compute, textbook)
