# SPDX-License-Identifier: BSD-3-Clause
"""Running error analysis: values with a bound of how far a computation in a shorter type may be from them.

The values are of longdouble. Every operation adds what rounding its result in that type may add (Higham,
"Accuracy and Stability of Numerical Algorithms", 2nd edition, section 3.3), and what its inputs' errors do.
"""

import ml_dtypes
import numpy as np

# Of longdouble, whose own operations round as well: the worst of them, several times over.
SLACK = 2.0**-60


class Bounded:
    def __init__(self, value, dtype, error=0.0):
        self.value = np.asarray(value, np.longdouble)
        self.error = np.broadcast_to(np.asarray(error, np.longdouble), self.value.shape)
        self.dtype = np.dtype(dtype)

    def rounded(self, value, error):
        """A result of one operation: it may be half a unit of the last place, or half a subnormal, off."""
        info = np.finfo(self.dtype)
        unit = np.longdouble(info.eps) / 2 + SLACK
        total = error + unit * (abs(value) + error) + np.longdouble(info.smallest_subnormal)
        return Bounded(value, self.dtype, total)

    def _of(self, other):
        return other if isinstance(other, Bounded) else Bounded(other, self.dtype)

    def __add__(self, other):
        other = self._of(other)
        return self.rounded(self.value + other.value, self.error + other.error)

    def __sub__(self, other):
        other = self._of(other)
        return self.rounded(self.value - other.value, self.error + other.error)

    def __mul__(self, other):
        other = self._of(other)
        error = abs(self.value) * other.error + abs(other.value) * self.error + self.error * other.error
        return self.rounded(self.value * other.value, error)

    def __truediv__(self, other):
        other = self._of(other)
        least = abs(other.value) - other.error
        assert (least > 0).all()
        quotient = self.value / other.value
        return self.rounded(quotient, (self.error + abs(quotient) * other.error) / least)

    def sqrt(self):
        least = self.value - self.error
        assert (least > 0).all()
        root = np.sqrt(self.value)
        return self.rounded(root, root - np.sqrt(least))

    def sum(self, axis, depth):
        """The sum by any tree in which no term takes part in more than so many additions (section 4.2)."""
        unit = np.longdouble(np.finfo(self.dtype).eps) / 2 + SLACK
        assert depth * unit < 0.01
        grown = depth * unit / (1 - depth * unit)
        largest = (abs(self.value) + self.error).sum(axis)
        return Bounded(self.value.sum(axis), self.dtype, self.error.sum(axis) + grown * largest)

    def apply(self, function, lipschitz, units):
        """A function that is computed to so many units of the last place of its value."""
        value = function(self.value)
        unit = np.longdouble(np.finfo(self.dtype).eps)
        error = lipschitz * self.error
        tiny = np.longdouble(np.finfo(self.dtype).smallest_subnormal)
        return Bounded(value, self.dtype, error + units * (unit * (abs(value) + error) + tiny))

    def where(self, condition):
        """The value, or 0, which is exact."""
        return Bounded(np.where(condition, self.value, 0), self.dtype, np.where(condition, self.error, 0))

    def __getitem__(self, index):
        return Bounded(self.value[index], self.dtype, self.error[index])

    def share(self, result):
        """How much of its bound the worst number of a result takes; of 16 bits, rounded once more."""
        wide = np.asarray(result).astype(np.float64)
        error = self.error
        if np.asarray(result).dtype.itemsize == 2:
            info = ml_dtypes.finfo(np.asarray(result).dtype)
            unit = float(info.eps) / 2
            error = error + unit * (abs(self.value) + error) + float(info.smallest_subnormal)
        assert wide.shape == self.value.shape
        off = abs(wide - self.value)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(off == 0, 0, off / error)  # where the bound is 0, a number must be exact
        return float(np.where(np.isnan(shares), np.inf, shares).max(initial=0))

    def check(self, result):
        """That a result is within the bound."""
        assert self.share(result) <= 1
