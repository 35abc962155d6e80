# SPDX-License-Identifier: BSD-3-Clause
"""Fused operations on rows, by the textbook: bias and activation, normalisations, and their gradients."""

import functools

import numpy as np

import fastdrop
import fused_formulas as formulas

from .case import Case

ACTIVATIONS = [None, "relu", *formulas.TEXTBOOK]
EPS = 1e-3  # so large that rows of one or few features have a definite variance, too


def bias_dropout_add(draw):
    x, bias, residual = draw.element(), draw.column(), draw.element()
    for activation in ACTIVATIONS:
        options = {"mask": draw.mask, "activation": activation}

        def compute(options=options):
            return [fastdrop.bias_dropout_add(x, bias, residual, **options)[0]], None

        def textbook(_, activation=activation):
            operands = map(draw.bounded, (x, bias, residual))
            return [formulas.bias_dropout_add(*operands, draw.keep, draw.scale, activation)]

        yield Case(f"bias_dropout_add, {activation}", compute, textbook)


def bias_dropout_add_backward(draw):
    x, bias, dy = draw.element(), draw.column(), draw.element()
    for activation in ACTIVATIONS:

        def compute(activation=activation):
            _, saved = fastdrop.bias_dropout_add(x, bias, mask=draw.mask, activation=activation)
            return list(fastdrop.bias_dropout_add_backward(dy, saved)), None

        yield Case(
            f"bias_dropout_add_backward, {activation}",
            compute,
            functools.partial(through_activation, draw, x, bias, dy, activation),
        )


def through_activation(draw, x, bias, dy, activation, _):
    t, dx = draw.bounded(x) + draw.bounded(bias), draw.bounded(dy) * draw.scale
    if activation == "relu":
        assert ((abs(t.value) > t.error) | (x.astype(draw.own) + bias == 0)).all()  # its sign is sure
        dx = dx.where(t.value > 0)
    elif activation is not None:
        dx = dx * formulas.derivative(t, activation)
    dx = dx.where(draw.keep)
    return [dx, formulas.column_sums(dx)]


class Norm:
    """One of both normalisations, forward and back, with all operands."""

    def __init__(self, norm, draw):
        self.norm, self.draw = norm, draw
        self.x, self.residual, self.dy, self.dh = (draw.element() for _ in range(4))
        self.weight, self.bias, self.x_bias = (draw.column() for _ in range(3))
        self.eps = float(np.asarray(EPS, draw.own))

    def forward(self):
        draw = self.draw
        function = getattr(fastdrop, f"dropout_add_{self.norm}_norm")
        added = [self.bias] if self.norm == "layer" else []
        y, saved = function(
            self.x, self.residual, self.weight, *added, mask=draw.mask, x_bias=self.x_bias, eps=self.eps
        )
        return y, saved

    def results(self):
        y, saved = self.forward()
        statistics = [saved.mean] if self.norm == "layer" else []
        return [y, saved.h, *statistics, saved.rstd], saved

    def textbook(self, saved):
        """h is rounded where it is read, and exact from there on."""
        draw = self.draw
        operands = map(draw.bounded, (self.x, self.x_bias, self.residual))
        h = formulas.bias_dropout_add(*operands, draw.keep, draw.scale, None)
        xhat, mean, rstd = formulas.normalized(self.norm, draw.bounded(saved.h), self.eps)
        y = xhat * draw.bounded(self.weight)
        if self.norm == "rms":
            return [y, h, rstd]
        return [y + draw.bounded(self.bias), h, mean, rstd]

    def gradients(self):
        _, saved = self.forward()
        function = getattr(fastdrop, f"dropout_add_{self.norm}_norm_backward")
        return list(function(self.dy, saved, dh=self.dh)), saved

    def textbook_of_gradients(self, saved):
        """From what was saved. tests/test_fused_gradients.py judges the formulas by differences."""
        draw = self.draw
        h, rstd = draw.bounded(saved.h), draw.bounded(saved.rstd)
        centered = h - draw.bounded(formulas.per_row(saved.mean)) if self.norm == "layer" else h
        xhat, dy = centered * formulas.per_row(rstd), draw.bounded(self.dy)
        through = formulas.through_norm(self.norm, dy * draw.bounded(self.weight), xhat, rstd)
        dresidual = draw.bounded(self.dh) + through
        dx = (dresidual * draw.scale).where(draw.keep)
        terms = [dy * xhat, dy, dx] if self.norm == "layer" else [dy * xhat, dx]
        return [dx, dresidual, *map(formulas.column_sums, terms)]


def norm(name, draw):
    case = Norm(name, draw)
    yield Case(f"dropout_add_{name}_norm", case.results, case.textbook)


def norm_backward(name, draw):
    case = Norm(name, draw)
    yield Case(f"dropout_add_{name}_norm_backward", case.gradients, case.textbook_of_gradients)
