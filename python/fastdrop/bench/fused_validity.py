# SPDX-License-Identifier: BSD-3-Clause
"""Whether the answer of a fused operation is right: it shows its mask, from which everything else follows.

Every call has a new mask, and every library its own. So the reference says in float64 what each element is if
it is kept and if it is dropped, and the answer must be one of the two. Which one is its mask: that must be
random. Norms and gradients are computed from it in float64, too. Of a large answer the first and the last
rows are looked at, but sums over all rows.

The bounds count roundings. A `unit` is half an epsilon: by so much, relative to itself, a number changes when
it is rounded. A sum of n numbers is off by at most ``n * unit`` times the sum of their magnitudes, in any
order (Higham, "Accuracy and Stability of Numerical Algorithms", section 4.2). Products of units are left out.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import reference

from .cases import Case, Data
from .fused import EPS, FUSED, Array, Operands
from .job import Answer, Job
from .validity import InvalidAnswerError, draws_anew, independent

_ROWS = 512  # that are looked at, at each end
# Roundings of numbers that are at most |x + bias| / (1 - p): the sum, two of the scale and a product; with an
# activation also those of its argument, of the function, for which libraries promise up to 4 units in the
# last place (8 units), and of what stands around it.
_ROUNDINGS = {None: 4, "relu": 4, "gelu": 16, "gelu_tanh": 16, "silu": 16}
_STEEPEST = 1.13  # no derivative of an activation is larger: gelu's is 1.129 at sqrt(2)
# Of the argument of a sigmoid or tanh, from t: its product with t is what errors of theirs grow by.
_SLOPES: dict[str | None, Callable[[Array], Array]] = {
    "gelu_tanh": lambda t: math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * t * t),
    "silu": np.ones_like,
}

Bools = NDArray[np.bool_]


def right(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless two answers are right, by two masks if masks are new."""
    operands = Operands(case, data)
    keeps = [_Look(case, operands, job.answer()).decisions() for _ in range(2)]
    independent(case.p, keeps, fresh=draws_anew(case, job))


class _Look:
    """A look at one answer."""

    def __init__(self, case: Case, operands: Operands, answer: Answer) -> None:
        self.fused, self.operands, self.answer = FUSED[case.kind], operands, answer
        x = operands.x
        self.unit, self.scale = float(np.spacing(x.dtype.type(1))) / 2, 1 / (1 - case.p)
        self.rows = np.unique(np.r_[: min(_ROWS, len(x)), max(len(x) - _ROWS, 0) : len(x)])
        for name, result in (("y", answer.y), ("dx", answer.dx), *answer.others.items()):
            like = operands.bias if name in ("dbias", "dweight", "dx_bias") else x
            if result is not None and (result.dtype, result.shape) != (like.dtype, like.shape):
                wanted = f"{like.dtype} {like.shape}"
                raise InvalidAnswerError(f"{name} is {result.dtype} {result.shape}, not {wanted}")

    def decisions(self) -> Bools:
        """Those that the answer shows, if all of it is right."""
        keep, drop, tells = self._forward()
        if self.fused.normalizes:
            self._check_normalized()
        if self.answer.dx is not None:
            self._check_gradients(keep, drop)
        return keep[tells]

    def _wide(self, array: Any) -> Any:
        """The rows that are looked at, in float64; None as it is."""
        return None if array is None else array[self.rows].astype(np.float64)

    def _forward(self) -> tuple[Bools, Bools, Bools]:
        """Which elements may have been kept, which dropped, and which can only be one of the two."""
        a, fused = self.operands, self.fused
        bias = a.x_bias if fused.normalizes else a.bias
        x, residual = self._wide(a.x), self._wide(a.residual)
        code = reference.ACTIVATION_CODES[fused.activation]
        function = reference.ROW_OPERATIONS["bias_dropout_add"]
        (kept,) = function(np.True_, x, bias.astype(np.float64), residual, self.scale, code)
        bound = self.unit * (_ROUNDINGS[fused.activation] * np.abs(x + bias) * self.scale + np.abs(kept))
        dropped = np.zeros_like(x) if residual is None else residual
        name = "h" if fused.normalizes else "y"
        got = self._wide(self.answer.others["h"] if fused.normalizes else self.answer.y)
        keep, drop = np.abs(got - kept) <= bound, got == dropped
        if not np.all(keep | drop):
            raise InvalidAnswerError(f"{name} is neither what is kept nor what is dropped")
        return keep, drop, np.abs(kept - dropped) > bound

    def _check_normalized(self) -> None:
        a, y, h = self.operands, self._wide(self.answer.y), self._wide(self.answer.others["h"])
        weight, bias = (array.astype(np.float64) for array in (a.weight, a.bias))
        xhat, _, _, error = self._normalized(h)
        right = xhat * weight + (bias if "dbias" in self.fused.gradients else 0)
        bound = np.abs(weight) * error + 4 * self.unit * (np.abs(xhat * weight) + np.abs(bias))
        if np.any(np.abs(y - right) > bound):
            raise InvalidAnswerError("y is not the norm of h")

    def _normalized(self, h: Array) -> tuple[Array, Array, Array, Array]:
        """The normalised rows, their rstd, and how far another xhat and (relatively) rstd may be off.

        The mean is off by a sum of as many numbers as there are features, the mean of squares likewise. A
        variance may be a difference of a mean of squares and a square of a mean, three times as much. The
        root halves that; eight more roundings are those around the sums.
        """
        columns = h.shape[1]
        mean = 0.0 if "dbias" not in self.fused.gradients else h.mean(1, keepdims=True)
        rstd = 1 / np.sqrt(np.square(h - mean).mean(1, keepdims=True) + EPS)
        sums = (columns + 8) * self.unit
        relative = 1.5 * sums * np.square(h).mean(1, keepdims=True) * rstd**2
        xhat = (h - mean) * rstd
        return xhat, rstd, relative, sums * rstd * np.abs(h).mean(1, keepdims=True) + np.abs(xhat) * relative

    def _check_gradients(self, keep: Bools, drop: Bools) -> None:
        if self.fused.normalizes:
            dresidual, bound = self._gradient_of_norm()
            got = self._wide(self.answer.others["dresidual"])
            if np.any(np.abs(got - dresidual) > bound):
                raise InvalidAnswerError("dresidual is not the gradient of the norm")
            kept, bound = dresidual * self.scale, (bound + 4 * self.unit * np.abs(dresidual)) * self.scale
        else:
            kept, bound = self._gradient_of_activation()
        dx = self._wide(self.answer.dx)
        may_keep, may_drop = np.abs(dx - kept) <= bound, dx == 0
        if not np.all((keep & may_keep) | (drop & may_drop)):
            raise InvalidAnswerError("dx is not the gradient of this forward pass")
        self._check_sums()

    def _gradient_of_activation(self) -> tuple[Array, Array]:
        a, code = self.operands, reference.ACTIVATION_CODES[self.fused.activation]
        dy = self._wide(a.dy)
        function = reference.ROW_OPERATIONS["bias_dropout_add_backward"]
        bias = a.bias.astype(np.float64)
        kept, _ = function(np.True_, dy, self._wide(a.x), bias, None, self.scale, code)
        t = self._wide(a.x) + a.bias
        largest = _STEEPEST + np.abs(t) * _SLOPES.get(self.fused.activation, np.zeros_like)(t)
        return kept, _ROUNDINGS[self.fused.activation] * self.unit * self.scale * np.abs(dy) * largest

    def _gradient_of_norm(self) -> tuple[Array, Array]:
        """``rstd * ((g - m1) - xhat * m2)`` and its bound: what every factor and mean may be off by."""
        a, h = self.operands, self._wide(self.answer.others["h"])
        xhat, rstd, relative, error = self._normalized(h)
        g, sums = self._wide(a.dy) * a.weight, (h.shape[1] + 8) * self.unit

        def mean(array: Array) -> Any:
            return array.mean(1, keepdims=True)

        m1 = mean(g) if "dbias" in self.fused.gradients else np.zeros_like(rstd)
        m2 = mean(g * xhat)
        own = (g - m1) - xhat * m2
        of_m2 = sums * mean(np.abs(g * xhat)) + mean(np.abs(g) * error)
        inner = sums * mean(np.abs(g)) + np.abs(xhat) * of_m2 + error * np.abs(m2)
        around = 4 * self.unit * (np.abs(g) + np.abs(m1) + np.abs(xhat * m2))
        return rstd * own, rstd * (inner + around + np.abs(own) * relative)

    def _check_sums(self) -> None:
        """Every sum over all rows: of dx, of dy, or of dy times xhat."""
        a, others = self.operands, self.answer.others
        dx, dy = (np.asarray(array, np.float64) for array in (self.answer.dx, a.dy))
        terms: dict[str, tuple[Array, Any]] = {"dbias": (dx, 0.0)}
        if self.fused.normalizes:
            xhat, _, _, error = self._normalized(others["h"].astype(np.float64))
            terms = {"dweight": (dy * xhat, np.abs(dy) * error), "dbias": (dy, 0.0), "dx_bias": (dx, 0.0)}
        for name, (term, error) in terms.items():
            if name in others:
                bound = (len(dx) + 4) * self.unit * np.abs(term).sum(0) + np.sum(error, axis=0)
                if np.any(np.abs(others[name] - term.sum(0)) > bound):
                    raise InvalidAnswerError(f"{name} is not the sum over all rows")
