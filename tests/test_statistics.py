# SPDX-License-Identifier: BSD-3-Clause
"""Masks look like independent coin tosses with the right coin, and every check here can fail.

The checks are those of mask_checks.py, and each gives two-sided tail probabilities. It fails when one of them
is below ``FALSE_ALARM = 1e-9``. There are fewer than 1,000 of them in this file, so by the union bound a
perfect generator would fail it for at most one choice of seeds in a million. The seeds are fixed, so that a
run which passed passes again. Each check is also fed masks with a fault of faulty_masks.py, and must see it.

``python -m verification.statistics`` does this at a larger size.
"""

import numpy as np
import pytest

import fastdrop
from faulty_masks import (
    SEED,
    eight_bits,
    fair,
    new_numbers_for_each_p,
    one_stream,
    overlapping_streams,
    parity_of_eight,
    shared_by_four,
    short_seed,
    sixteen_bits,
    twice_the_same_block,
)
from mask_checks import agreements, columns, groups, lags, neighbours, octets, rates, resurrected, shifts
from tails import FALSE_ALARM

# The bits are pinned by the quick tests of the stream; statistics can change with the definition only.
pytestmark = pytest.mark.slow


@pytest.fixture
def draw(generator):
    """The masks of fastdrop."""

    def draw(p, size, seed=SEED, stream=0):
        return fastdrop.Mask((size,), p, seed=seed, stream=stream, generator=generator).to_numpy()

    return draw


# --- fastdrop passes ------------------------------------------------------------------------------

# Few bits and many, both ends, what 4, 8 and 16 bits can say and what they cannot.
PROBABILITIES = (0.5, 0.9375, 3 / 256, 5 / 65536, 1 / 3, 0.1, 0.9, 0.004, 1e-4, 1.5 / 65536, 1 - 2.5 / 65536)
SEEDS = [((seed, 0), (seed + 1, 0)) for seed in range(40)] + [
    ((seed, 0), (seed + 2**power, 0)) for seed in (0, SEED) for power in (31, 32, 63, 64, 127)
]
STREAMS = [((SEED, stream), (SEED, stream + 1)) for stream in range(40)] + [
    ((SEED, stream), (SEED, stream + 2**power)) for stream in (0, 5) for power in (3, 29, 31, 32, 61, 62)
]


def test_the_share_dropped_is_p(draw):
    assert min(rates(draw, PROBABILITIES, 2**25)) >= FALSE_ALARM


@pytest.mark.parametrize("p", [0.5, 0.1, 0.9])
def test_neighbours_are_independent_in_groups(draw, p):
    assert min(groups(draw, p, 2**23)) >= FALSE_ALARM


@pytest.mark.parametrize("p", [0.5, 0.1])
def test_neighbours_are_independent_at_each_lag(draw, p):
    assert min(lags(draw, p, 2**22)) >= FALSE_ALARM


@pytest.mark.parametrize("pairs", [SEEDS, STREAMS], ids=["seeds", "streams"])
def test_masks_of_other_seeds_and_streams_are_strangers(draw, pairs):
    assert min(agreements(draw, 0.3, 2**18, pairs)) >= FALSE_ALARM


@pytest.mark.parametrize("p", [0.5, 0.25])
def test_all_patterns_of_an_octet_come_up_as_often_as_they_should(draw, p):
    assert min(octets(draw, p, 2**26)) >= FALSE_ALARM


@pytest.mark.parametrize("p", [1e-4, 0.1, 0.5, 0.99])
def test_runs_are_as_long_as_they_should(draw, p):
    assert min(neighbours(draw, p, 2**24)) >= FALSE_ALARM


def test_columns_are_as_different_as_they_should(draw):
    assert min(columns(draw, 0.3, 2**22, 1024)) >= FALSE_ALARM


def test_adjacent_streams_do_not_overlap(draw):
    assert min(shifts(draw, 0.3, 2**20, (SEED, 0), (SEED, 1), (1, 2, 4, 8, 16, 32, 64))) >= FALSE_ALARM


def test_masks_are_nested(draw):
    assert resurrected(draw, (0.0, *PROBABILITIES, 1.0), 2**22) == 0


# --- The checks fail when they should -------------------------------------------------------------

CAUGHT = {
    "eight bits, by the rate": lambda: rates(eight_bits, [0.1], 2**22),
    "sixteen bits, by the rate": lambda: rates(sixteen_bits, [1.5 / 65536], 2**25),
    "shared by four, by groups": lambda: groups(shared_by_four, 0.1, 2**16),
    "a block twice, by groups": lambda: groups(twice_the_same_block, 0.5, 2**16),
    "shared by four, by lags": lambda: lags(shared_by_four, 0.1, 2**16),
    "a block twice, by lags": lambda: lags(twice_the_same_block, 0.5, 2**16),
    "one stream, by agreements": lambda: agreements(one_stream, 0.3, 2**14, STREAMS),
    "a short seed, by agreements": lambda: agreements(short_seed, 0.3, 2**14, SEEDS),
    "shared by four, by neighbours": lambda: neighbours(shared_by_four, 0.1, 2**16),
    "one mask for all rows, by columns": lambda: columns(
        lambda p, size: np.tile(fair(p, 1024), size // 1024), 0.3, 2**16, 1024
    ),
    "overlapping streams, by shifts": lambda: shifts(
        overlapping_streams, 0.3, 2**14, (SEED, 0), (SEED, 1), (1, 8)
    ),
    "parity, by octets": lambda: octets(parity_of_eight, 0.5, 2**18),
}


@pytest.mark.parametrize("check", CAUGHT.values(), ids=CAUGHT)
def test_a_fault_is_caught(check):
    assert min(check()) < FALSE_ALARM


def test_masks_that_are_not_nested_are_caught():
    assert resurrected(new_numbers_for_each_p, PROBABILITIES, 2**12) > 0
