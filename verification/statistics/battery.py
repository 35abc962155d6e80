# SPDX-License-Identifier: BSD-3-Clause
"""The battery of masks and of noise: names of tests, each with its tail probabilities.

A draw is a function (p, size, seed, stream) that gives a mask.
"""

import functools
import itertools

import numpy as np

import fastdrop
import noise_checks
from faulty_masks import SEED
from mask_checks import agreements, columns, groups, lags, neighbours, octets, rates, shifts
from tails import agreement_tail, binomial_tail, keep_probability

PROBABILITIES = (1e-4, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999)
OF_LAGS = (0.1, 0.3, 0.5)
LAGS = sorted({*range(1, 65), *(2**power + side for power in range(7, 13) for side in (-1, 0, 1))})
SHIFTS = (1, 2, 3, 4, 7, 8, 9, 16, 32, 64, 128, 1024, 4096)
ADJACENT = 1000
POWERS = (3, 29, 31, 32, 61, 62, 64, 127)
DISTANT = [((SEED, 0), (SEED + 2**k, 0)) for k in POWERS] + [((SEED, 0), (SEED, 2**k)) for k in POWERS[:6]]
# A mask of shared decisions: its shape, the shape of its noise, and the axes that do not share.
SHARED = {
    "channels": ((64, 512, 7, 5), (64, 512, 1, 1)),
    "rows": ((2**15, 33), (2**15, 1)),
    "time": ((64, 9, 512), (64, 1, 512)),
}


def of_masks(draw, size):
    """Tests of single masks, of adjacent seeds and of adjacent streams."""
    draw = functools.lru_cache(maxsize=2)(draw)
    for p in PROBABILITIES:
        yield f"mean, p={p}", rates(draw, [p], size)
        yield f"runs, p={p}", neighbours(draw, p, size)
        yield f"groups of 2 to 1,024, p={p}", groups(draw, p, size)
        yield f"patterns of 8, p={p}", octets(draw, p, size)
        for width in (256, 1024, 4096):
            yield f"columns of a matrix, {width} wide, p={p}", columns(draw, p, size, width)
        if p in OF_LAGS:
            yield f"lags to {max(LAGS):,}, p={p}", lags(draw, p, size, LAGS)
    yield from of_neighbours(draw, 0.3, max(size // ADJACENT, 2 * max(SHIFTS)))


def of_neighbours(draw, p, size):
    """Of 1,000 seeds and of 1,000 streams: those next to each other, and all of them."""
    yield f"distant seeds and streams, p={p}", agreements(draw, p, size, DISTANT)
    kinds = {"seeds": lambda number: (SEED + number, 0), "streams": lambda number: (SEED, number)}
    for kind, source in kinds.items():
        sources = [source(number) for number in range(ADJACENT)]
        yield f"adjacent {kind}, p={p}", agreements(draw, p, size, itertools.pairwise(sources))
        yield f"adjacent {kind}, shifted, p={p}", shifts(draw, p, size, *sources[:2], SHIFTS)

        def all_of_them(p, size, sources=sources):
            return np.concatenate([draw(p, size // ADJACENT, *source) for source in sources])

        yield f"elements over {kind}, p={p}", columns(all_of_them, p, size * ADJACENT, size)


def of_kinds(generator):
    """Tests of shared decisions and of DropBlock, through the package."""
    for stream, (name, (shape, noise_shape)) in enumerate(SHARED.items()):
        options = {"seed": SEED, "stream": stream, "generator": generator, "noise_shape": noise_shape}
        for p in OF_LAGS:
            mask = fastdrop.Mask(shape, p, **options)
            yield f"{name} that share, p={p}", of_shared(mask.to_numpy(), noise_shape, p)
    for block_size in (1, 2, 3, 8):
        yield f"places under blocks of {block_size}", of_drop_block(generator, block_size)


def of_shared(kept, noise_shape, p):
    """1 or 0 for the structure, the rate, and neighbours along every axis that does not share."""
    cells = kept[tuple(slice(length) for length in noise_shape)]
    tails = [float((kept == cells).all()), binomial_tail(int(cells.sum()), cells.size, keep_probability(p))]
    for axis in (axis for axis, length in enumerate(noise_shape) if length > 1):
        pairs = np.moveaxis(cells, axis, 0)
        half = len(pairs) // 2 * 2
        tails.append(agreement_tail(pairs[:half:2], pairs[1:half:2], p))
    return tails


def of_drop_block(generator, block_size, p=0.2, side=8, maps=(256, 256)):
    """A place is dropped unless all blocks over it are absent; samples and channels are independent."""
    rng = fastdrop.MaskGenerator(SEED, generator=generator)
    _, mask = fastdrop.drop_block(np.ones((*maps, side, side), np.float16), p, block_size=block_size, rng=rng)
    kept = mask.to_numpy().sum(axis=(0, 1))
    gamma = p / block_size**2 * side**2 / (side - block_size + 1) ** 2  # equation 1 of the paper
    over = [min(i, side - block_size) - max(i - block_size + 1, 0) + 1 for i in range(side)]
    return [
        binomial_tail(int(kept[i, j]), maps[0] * maps[1], (1 - gamma) ** (over[i] * over[j]))
        for i, j in itertools.product(range(side), repeat=2)
    ]


def of_noise(generator, size):
    """Tests of Gaussian noise: factors 1 + z at p = 1/2, in float64 exactly less 1."""

    @functools.lru_cache(maxsize=2)
    def draw(seed, stream):
        noise = fastdrop.GaussianNoise(size, 0.5, seed=seed, stream=stream, generator=generator)
        return noise.apply(np.ones(size)) - 1

    checks = ("moments", "distance", "squared_distance", "cells", "tails", "lags")
    for name in checks:
        yield f"noise, {name.replace('_', ' ')}", getattr(noise_checks, name)(draw(SEED, 0))
    for other in ((SEED + 1, 0), (SEED, 1), (SEED, 2**32), (SEED, 2**62)):
        yield f"noise, seed and stream {other}", noise_checks.correlation(draw(SEED, 0), draw(*other))
    kept = fastdrop.Mask(size, 0.5, seed=SEED, generator=generator).to_numpy()
    yield "noise where the mask of its numbers keeps", noise_checks.moments(draw(SEED, 0)[kept])


def masks_of(generator):
    def draw(p, size, seed=SEED, stream=0):
        return fastdrop.Mask((size,), p, seed=seed, stream=stream, generator=generator).to_numpy()

    return draw


def whole(generator, size):
    yield from of_masks(masks_of(generator), size)
    yield from of_kinds(generator)
    yield from of_noise(generator, size // 8)
