# SPDX-License-Identifier: BSD-3-Clause
"""The core's operations on rows: their operands in every choice, and what the reference makes of them.

The laws of the files `test_fused_rows*.py` go over `ROW_OPERATIONS`, so that a new row is judged by all of
them. What the core calls operand, input, output and constant is in csrc/shared/operations.h.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from arrays import DTYPES, special_values
from fastdrop import _core, reference
from fastdrop._operations import shape_and_dtype
from fastdrop.fused._rows import run_rows
from fastdrop.mask import state_and_scale
from fastdrop.reference import ACTIVATION_CODES

EPS, FACTOR = 1e-3, 0.37
NONE, RELU = ACTIVATION_CODES[None], ACTIVATION_CODES["relu"]


@dataclass(frozen=True)
class Choice:
    """Which optional inputs are there, and the activation or what is visible where the operation has that."""

    inputs: frozenset
    activation: int = NONE
    visible: float = math.inf

    def __str__(self):
        activation = list(map(str, ACTIVATION_CODES))[self.activation]
        return "-".join([*sorted(self.inputs), activation, str(self.visible)])


@dataclass(frozen=True)
class RowOperation:
    name: str
    info: Any  # what the core says about it

    @property
    def goes_back(self):
        return self.name.endswith("_backward")

    @property
    def has_activation(self):
        return "activation" in self.info.constants

    def choices(self):
        """Every choice of operands that is a formula of the reference."""
        optional = [operand.name for operand in self.info.inputs if operand.optional]
        activations = ACTIVATION_CODES.values() if self.has_activation else [NONE]
        visible = [math.inf, 1.0, 40.0] if "visible" in self.info.constants else [math.inf]
        for activation, seen in itertools.product(activations, visible):
            for bits in itertools.product((True, False), repeat=len(optional)):
                choice = Choice(frozenset(itertools.compress(optional, bits)), activation, seen)
                if self._is_formula(choice):
                    yield choice

    def _is_formula(self, choice):
        """The result stands for the input where the activation is relu. No other one is without its input."""
        if not (self.has_activation and self.goes_back):
            return True
        if "y" in choice.inputs:
            return choice == Choice(frozenset({"y"}), RELU)
        return choice.activation == NONE or "x" in choice.inputs

    def whole_choices(self):
        """For every activation the choice that has the most operands; of relu's gradient both."""
        choices = list(self.choices())
        for activation in ACTIVATION_CODES.values():
            mine = [choice for choice in choices if choice.activation == activation]
            yield from mine[:1]
            yield from (choice for choice in mine[1:] if "y" in choice.inputs)

    def optional_outputs(self):
        return [operand.name for operand in self.info.outputs if operand.optional]

    def inputs(self, shape, dtype, choice, special=False):
        """Numbers for every input that is there, and None for the others.

        Where several operations meet, a statistic need not be that of its rows: any number will do. `special`
        puts what arithmetic treats specially among them.
        """
        x, arrays = np.empty(shape, dtype), []
        for at, operand in enumerate(self.info.inputs):
            if operand.optional and operand.name not in choice.inputs:
                arrays.append(None)
                continue
            own, of = shape_and_dtype(operand, x)
            random = np.random.default_rng([at, math.prod(own), len(own)])
            values = special_values((math.prod(own) + at,), of)[at:].reshape(own) if special else None
            values = random.standard_normal(own).astype(of) if values is None else values
            if operand.name == "rstd" and not special:
                values = np.asarray(abs(values))
            if operand.name == "targets":  # classes, some of which are none
                values = random.integers(-1, max(shape[-1], 1), own).astype(of)
            arrays.append(values)
        return arrays

    def constants(self, choice, scale):
        named = {"scale": scale, "eps": EPS, "activation": float(choice.activation)}
        named |= {"factor": FACTOR, "visible": choice.visible}
        return [named[name] for name in self.info.constants]

    def outputs(self, given):
        """The arguments of the outputs: new arrays, but those that are given by name."""
        return [given.get(operand.name) for operand in self.info.outputs]

    def call(self, mask, inputs, choice, given=None):
        """The operation on a mask; `given` has outputs by name, False for one that is not wanted.

        Other large outputs are written into arrays of sevens. A new array may lie where an equal result has
        been, which hides what is not written.
        """
        state, scale = state_and_scale(mask)
        full = [operand.name for operand in self.info.outputs if operand.access == "full"]
        native = inputs[0].dtype.newbyteorder("=")
        outputs = {name: np.full(inputs[0].shape, 7, native) for name in full} | (given or {})
        arguments = (*inputs, *self.outputs(outputs), *self.constants(choice, scale))
        results = _core.run(self.name, state, *arguments)
        if results is None:
            names = tuple(operand.name for operand in self.info.inputs)
            results, _ = run_rows(self.name, state, names, *arguments)
        return results if isinstance(results, tuple) else (results,)

    def reference(self, slow, inputs, choice):
        """All outputs, for a mask of the reference."""
        return self.judged(slow.to_numpy(), slow.scale, inputs, choice)

    def judged(self, keep, scale, inputs, choice):
        """The same for decisions and a scale.

        Where nothing is kept the package's scale is 0, and the reference's infinite. That shows only if relu
        goes back by a y that no forward pass has made.
        """
        scale = np.where(np.isinf(scale), 0.0, scale)
        constants = self.constants(choice, scale)
        return reference.ROW_OPERATIONS[self.name](keep, *inputs, *constants)


ROW_OPERATIONS = {
    name: RowOperation(name, info) for name, info in _core.operations.items() if info.whole_rows
}
every_row_operation = pytest.mark.parametrize("name", ROW_OPERATIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
WITH_SUMS = [
    name
    for name, operation in ROW_OPERATIONS.items()
    if any(operand.access == "per column" for operand in operation.info.outputs)
]


def same_numbers(result, wanted):
    """Exactly an ndarray of that dtype, shape and bytes, but that any NaN is as good as another.

    Which of two NaNs that meet goes on, and the sign of one that arithmetic makes, is the processor's choice.
    """
    if type(result) is not np.ndarray or (result.dtype, result.shape) != (wanted.dtype, wanted.shape):
        return False
    with np.errstate(invalid="ignore"):
        nan = np.isnan(wanted)
        same_places = np.array_equal(np.isnan(result), nan)
    return same_places and result[~nan].tobytes() == wanted[~nan].tobytes()


def check(results, wanted, where=None, given=()):
    """That results are those of the reference, None where one was not wanted."""
    assert len(results) == len(wanted), where
    for at, (result, right) in enumerate(zip(results, wanted, strict=True)):
        if result is None:
            assert at in given, where
        else:
            assert same_numbers(result, right), (where, at)
