# SPDX-License-Identifier: BSD-3-Clause
"""Every operation of the core against its textbook formula: how much of its bound an error takes."""

import functools

import ml_dtypes
import numpy as np

import fastdrop
from fastdrop import _core

from . import elements, rows, softmax
from .case import Draw

DTYPES = ["float16", ml_dtypes.bfloat16, "float32", "float64"]
COLUMNS = [1, 33, 768]

# The core's names. `attention` computes what is around its operation, so that both are judged together.
CASES = {
    "dropout": elements.dropout,
    "alpha_dropout": elements.alpha_dropout,
    "gaussian_dropout": elements.gaussian_dropout,
    "keep_mask": elements.keep_mask,
    "bias_dropout_add": rows.bias_dropout_add,
    "bias_dropout_add_backward": rows.bias_dropout_add_backward,
    "dropout_add_layer_norm": functools.partial(rows.norm, "layer"),
    "dropout_add_layer_norm_backward": functools.partial(rows.norm_backward, "layer"),
    "dropout_add_rms_norm": functools.partial(rows.norm, "rms"),
    "dropout_add_rms_norm_backward": functools.partial(rows.norm_backward, "rms"),
    "softmax_dropout": softmax.softmax_dropout,
    "softmax_dropout_backward": softmax.softmax_dropout_backward,
    "attention_backward": softmax.attention,
    "log_softmax": softmax.log_softmax,
    "log_softmax_backward": softmax.log_softmax_backward,
    "cross_entropy": softmax.cross_entropy,
}


def shapes(name, size):
    """Matrices of about so many elements; the terms of attention's products are many times as many."""
    if name == "attention_backward":
        return [(33, 70), (max(size // 64, 16) // 64, 64)]
    return [(max(size // columns, 2), columns) for columns in COLUMNS]


def judged(case):
    """The worst share of a bound on any ISA, and how many numbers were judged."""
    share, count, seen = 0.0, 0, set()
    for isa in fastdrop.isas():
        with fastdrop.use_isa(isa):
            results, saved = case.compute()
        count += sum(result.size for result in results)
        bits = tuple(result.tobytes() for result in results)
        if bits not in seen:  # as a rule all ISAs give the same
            seen.add(bits)
            wanted = case.textbook(saved)
            shares = [right.share(result) for right, result in zip(wanted, results, strict=True)]
            share = max(share, *shares)
    return share, count


def worst_shares(size):
    """For every case and dtype, the worst share of its bound, and how many numbers were judged."""
    if missing := _core.operations.keys() - CASES.keys():
        raise NotImplementedError(
            f"operations must each have an oracle, not {sorted(missing)}: add it to {__file__}"
        )
    for name, cases in CASES.items():
        for dtype in DTYPES:
            found = {}
            for shape in shapes(name, size):
                for case in cases(Draw(shape, dtype)):
                    share, count = judged(case)
                    worst, total = found.get(case.name, (0.0, 0))
                    found[case.name] = max(worst, share), total + count
            for case_name, (share, count) in found.items():
                yield case_name, np.dtype(dtype).name, share, count
