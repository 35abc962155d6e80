# SPDX-License-Identifier: BSD-3-Clause
"""The core needs little stack: a thread may have 128 KiB of it (musl), or 32 KiB (threading.stack_size)."""

import ml_dtypes
import numpy as np
import pytest

import fastdrop
import stack
from fastdrop import _core

MOST = 8 << 10
SHAPE = (3, 13, 523)  # enough for long sequences; odd, so that tiles are filled in part
CONSTANTS = {"scale": 1.25, "activation": 2.0, "eps": 1e-5, "factor": 0.5, "visible": 40.0}


def masks(generator):
    """Masks of every form that decisions take: drawn, shared along axes, of a p that varies, stored."""
    source = fastdrop.MaskGenerator(seed=3, generator=generator)
    for noise_shape in [None, (None, None, 1), (1, None, None), (None, 1, None), (1, 1, None)]:
        yield source.mask(SHAPE, 0.1, noise_shape=noise_shape)
    for shape in [(523,), (13, 1), SHAPE]:
        yield source.mask(SHAPE, np.linspace(0, 1, np.prod(shape)).reshape(shape))
    yield fastdrop.Mask.from_array(np.arange(np.prod(SHAPE)).reshape(SHAPE) % 3 > 0, keep_prob=0.5)
    yield source.mask((SHAPE[0] + 1, *SHAPE[1:]), 0.1)[:0:-1]
    yield source.mask(SHAPE, 1.0)


def layouts(x, info):
    """Arrays of x's shape that kernels walk as they are, and others; with True, the call that takes any."""
    yield x, False
    if not info.whole_rows:
        yield x[:, :, ::-1], True
        yield np.asfortranarray(x), True
        if x.dtype == np.float64:
            yield x.astype(x.dtype.newbyteorder()), True
    yield x[::-1], True


def operand(info, x):
    """An operand of the row's type and access for arrays like x."""
    compute = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
    shape = {"full": x.shape, "per column": x.shape[-1:], "per row": x.shape[:-1]}[info.access]
    return np.zeros(shape, x.dtype.newbyteorder("=") if info.type == "element" else compute)


def calls(generator, dtype):
    """Calls of the core, each with what it is."""
    values = np.linspace(-3, 3, int(np.prod(SHAPE))).astype(dtype).reshape(SHAPE)
    for name, info in _core.operations.items():
        if not info.inputs:
            continue
        constants = [CONSTANTS.get(constant, 0.5) for constant in info.constants]
        for mask in masks(generator):
            if info.draw == "normals" and mask._state.generator >= len(_core.generators):
                continue
            for x, any_layout in layouts(values, info):
                given = [x if one.access == "full" else operand(one, x) for one in info.inputs]
                if name == "bias_dropout_add_backward":
                    given[-1] = None  # the forward pass's result stands for two other inputs
                made = [operand(one, x) for one in info.outputs]
                arguments = [mask._state, *given, *made, *constants, *([True] if any_layout else [])]
                yield lambda name=name, arguments=arguments: _core.run(name, *arguments)


# The widest elements, and those that are converted.
@pytest.mark.parametrize("dtype", [np.float64, ml_dtypes.bfloat16])
def test_every_path_touches_at_most_8_kib(isa, generator, dtype):
    every_call = list(calls(generator, dtype))
    python = stack.depth(lambda: [len(()) for _ in every_call])
    assert stack.depth(lambda: [call() for call in every_call]) - python <= MOST


def test_sharing_the_work_out_stays_within_the_same(isa, threads):
    x = np.zeros((3, 1 << 10, 1 << 10), np.float64)
    mask = fastdrop.Mask(x.shape, 0.1, seed=1)
    python = stack.depth(lambda: len(()))
    with threads(2):
        for view in (x, x[:, :, ::-1]):
            arguments = (mask._state, view, np.empty_like(x), 1.25, *([True] if view is not x else []))
            assert stack.depth(lambda arguments=arguments: _core.run("dropout", *arguments)) - python <= MOST


def test_a_thread_of_32_kib_does_what_any_thread_does(isa):
    """Python's own frames included, as users call it. Without the stack, the process would end."""
    x = np.linspace(-1, 1, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    mask = fastdrop.Mask(SHAPE, np.linspace(0, 1, 523), seed=1)
    results = []

    def work():
        results.append(fastdrop.dropout(x[:, :, ::-1], 0.3, rng=fastdrop.MaskGenerator(seed=1))[0])
        results.append(mask.apply(x.T.T))
        results.append(fastdrop.dropout_add_layer_norm(x, p=0.3, rng=fastdrop.MaskGenerator(seed=1))[0])
        results.append(fastdrop.softmax_dropout(x, 0.3, rng=fastdrop.MaskGenerator(seed=1))[0])

    work()
    stack.started(work, 32 << 10).join()
    assert len(results) == 8
    for here, there in zip(results[:4], results[4:], strict=True):
        assert here.tobytes() == there.tobytes()
