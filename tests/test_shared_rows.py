# SPDX-License-Identifier: BSD-3-Clause
"""Decisions that rows or runs share, at the lengths around which the core changes its way.

A block has 4,096 decisions. Runs of 512 elements and more are worked on by themselves, and rows of up to
2^16 are drawn once for all that are equal.
"""

import functools
import math

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes
from fastdrop import _core, reference
from fastdrop._values import Broadcast
from operations import SEED, STREAM, WITH_DECISIONS, twins

# A shape and its noise shape.
LOCKED = [((5, length), (1, length)) for length in (1, 3, 511, 512, 513, 4095, 4096, 4097, 65_536, 65_537)]
LOCKED += [((3, 7, length), (3, 1, length)) for length in (3, 1365, 1366, 2049, 5000)]
LOCKED += [((2, 3, 4, 600), (2, 1, 1, 600)), ((3, 2, 4, 600), (3, 1, 4, 600)), ((9, 3, 5), (1, 3, 5))]
CHANNELS = [((3, 5, length), (3, 5, 1)) for length in (1, 2, 511, 512, 513, 4096, 4097)]
CHANNELS += [((4500, 2), (4500, 1)), ((3, 4, 1, 600), (3, 4, 1, 1))]
SHARED = [*LOCKED, *CHANNELS, ((2, 70_000), (2, 1)), ((2, 70_000), (1, 1)), ((600, 3, 2), (600, 1, 1))]


@functools.cache
def keeps(shape, noise, p, generator="ars4x32-7"):
    return np.broadcast_to(twins(noise, p, generator=generator)[1].to_numpy(), shape)


@pytest.mark.parametrize(("shape", "noise"), SHARED, ids=str)
def test_shared_decisions_are_those_of_the_noise_shape(isa, shape, noise):
    keep = keeps(shape, noise, 0.4)
    mask, _ = twins(shape, 0.4, noise_shape=noise)
    for cut in (np.s_[:], np.s_[1:], np.s_[..., 1:], np.s_[1:, ..., ::-1], np.s_[:, :-1]):
        for name in ("dropout", "alpha_dropout", "keep_mask"):
            operation = WITH_DECISIONS[name]
            inputs = operation.inputs(keep[cut].shape, "float32")
            y = operation.judged(keep[cut], inputs)
            for result in operation.results(mask[cut], inputs):
                assert same_bytes(result, y), (cut, name)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_the_ends_of_p_and_other_dtypes(isa, p, dtype):
    for shape, noise in SHARED[::3]:
        for inverted in (True, False):
            mask, slow = twins(shape, p, noise_shape=noise, inverted=inverted)
            x = WITH_DECISIONS["dropout"].inputs(shape, dtype)[0]
            y = slow.apply(x)
            assert same_bytes(mask.apply(x), y), (shape, noise)
            assert same_bytes(mask.apply(x, out=x), y), (shape, noise)


@pytest.mark.parametrize("noise", [(6, 1), (1, 700)], ids=str)
def test_constants_may_vary_where_decisions_are_shared(isa, noise):
    """As the core takes them; the scale of a mask varies as its p does, and so only where decisions do."""
    shape, operation = (6, 700), WITH_DECISIONS["alpha_dropout"]
    mask, _ = twins(shape, 0.4, noise_shape=noise)
    x, rng = operation.inputs(shape, "float32")[0], np.random.default_rng(0)
    for varies in ((6, 1), (1, 700), (6, 700)):
        constants = [rng.standard_normal(varies) for _ in operation.constants]
        strides = tuple(0 if n == 1 else m for n, m in zip(varies, (varies[1], 1), strict=True))
        given = [Broadcast(constant.tobytes(), 0, strides) for constant in constants]
        y = reference.OPERATIONS["alpha_dropout"](keeps(shape, noise, 0.4), x, *constants)
        assert same_bytes(_core.run("alpha_dropout", mask._state, x, None, *given), y), varies


# Their groups of rows, rows and runs are cut where the parts of the threads end.
LARGE = [((9, 25, 7001), (9, 1, 7001)), ((30, 175, 301), (30, 1, 301)), ((3, 524_289), (3, 1))]
LARGE += [((4100, 512), (4100, 1)), ((25, 65_000), (1, 65_000)), ((11, 131_075), (1, 131_075))]


@pytest.mark.parametrize("rates", [False, True], ids=["one p", "p varies"])
@pytest.mark.parametrize(("shape", "noise"), LARGE, ids=str)
def test_threads_cut_what_is_shared(isa, threads, shape, noise, rates):
    drawn = (math.prod(noise), 1)
    p = np.resize([0.4, 0.0, 1.0, 0.7, 0.3], noise) if rates else 0.4
    keep = np.empty(noise, bool)
    for value in np.unique(p):
        one = fastdrop.Mask(drawn, float(value), seed=SEED, stream=STREAM).to_numpy().reshape(noise)
        keep = np.where(p == value, one, keep)
    x = WITH_DECISIONS["dropout"].inputs(shape, "float32")[0]
    scale = np.where(p == 1, 0.0, 1 / (1 - np.where(p == 1, 0, p)))
    y = reference.OPERATIONS["dropout"](keep, x, scale)
    y = np.where(np.asarray(p) == 0, x, y)
    mask = fastdrop.Mask(shape, p, noise_shape=noise, seed=SEED, stream=STREAM)
    for count in (1, 3):
        with threads(count):
            assert same_bytes(mask.apply(x), y), count
            assert same_bytes(mask.to_numpy(), np.broadcast_to(keep, shape).copy()), count
            assert same_bytes(mask.apply((in_place := x.copy()), out=in_place), y), count


@pytest.mark.parametrize("shape", [(3000, 3), (2000, 7), (9, 1000, 15)], ids=str)
def test_a_block_of_decisions_may_begin_among_elements_that_share_one(isa, shape):
    """A block has 4,096 elements, which 3, 7 and 15 do not divide."""
    options = {"noise_shape": (*shape[:-1], 1), "seed": 1}
    mask, slow = fastdrop.Mask(shape, 0.3, **options), reference.Mask(shape, 0.3, **options)
    assert (mask.to_numpy() == slow.to_numpy()).all()
