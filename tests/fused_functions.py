# SPDX-License-Identifier: BSD-3-Clause
"""The fused functions of the tests: each with its backward pass, and small arrays for it."""

import numpy as np
import pytest

import fastdrop
from refusal import refuse

ROWS, FEATURES = 4, 6
SHAPE = ROWS, FEATURES


def ones(dtype="float32"):
    return np.ones(SHAPE, dtype)


X, COLUMN = ones(), np.zeros(FEATURES, np.float32)
DRAWN = fastdrop.Mask(SHAPE, 0.5, seed=0)


def bias_dropout_add(x=X, *operands, **options):
    return fastdrop.bias_dropout_add(x, *operands, **{"rng": 0, **options})


def layer_norm(x=X, *operands, **options):
    return fastdrop.dropout_add_layer_norm(x, *operands, **{"rng": 0, **options})


def rms_norm(x=X, *operands, **options):
    return fastdrop.dropout_add_rms_norm(x, *operands, **{"rng": 0, **options})


FUNCTIONS = {"bias_dropout_add": bias_dropout_add, "layer_norm": layer_norm, "rms_norm": rms_norm}
FORWARD_AND_BACK = {
    "bias_dropout_add": (bias_dropout_add, fastdrop.bias_dropout_add_backward),
    "layer_norm": (layer_norm, fastdrop.dropout_add_layer_norm_backward),
    "rms_norm": (rms_norm, fastdrop.dropout_add_rms_norm_backward),
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
every_pair = pytest.mark.parametrize(("forward", "backward"), FORWARD_AND_BACK.values(), ids=FORWARD_AND_BACK)


VALUES = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)


def untouched(call, kind, *fragments, **outputs):
    """A refused call leaves what it was given to write to as it was."""
    before = {name: out.tobytes() for name, out in outputs.items()}
    refuse(lambda: call(**outputs), kind, *fragments)
    assert {name: out.tobytes() for name, out in outputs.items()} == before
