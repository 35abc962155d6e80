# SPDX-License-Identifier: BSD-3-Clause
"""Masks far from index 0: where a sequence of the generator ends, and a million elements at 2^40 and 2^62."""

import json
from pathlib import Path

import numpy as np
import pytest

import fastdrop
from far_masks import COUNT, SEED, STARTS, STREAM, P, digest, index, keep
from fastdrop import reference
from operations import endless_twins

ROWS = json.loads((Path(__file__).parent / "data" / "far-masks.json").read_text())
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['generator']} at {row['start']}")


@pytest.mark.parametrize("multiple", [1, 3, 255])
def test_bits_go_on_where_a_sequence_of_tiles_ends(isa, generator, multiple):
    """ARS shares rounds while byte 5 of the counter stays the same: up to multiples of 2^40 blocks."""
    size = 33_000
    mask, slow = endless_twins(multiple * 2**43 - 20_000, size, 0.3, generator)
    wanted = slow.to_numpy()
    assert (mask.to_numpy() == wanted).all()
    x = np.ones(size, np.float32)
    assert ((mask.apply(x) != 0) == wanted).all()
    assert ((fastdrop.bias_dropout_add(x, mask=mask)[0] != 0) == wanted).all()


@every_row
def test_far_masks_are_those_of_the_reference(isa, threads, row):
    start, generator = STARTS[row["start"]], row["generator"]
    whole = fastdrop.Mask(start + COUNT, P, seed=SEED, stream=STREAM, generator=generator)
    for count in (1, 3):
        with threads(count):
            assert digest(whole[start:].to_numpy()) == row["sha256"]


@pytest.mark.slow  # the reference takes a second for each
@every_row
def test_the_reference_gives_the_far_masks_and_a_tie_looks_at_all_of_its_index(row):
    start, generator = STARTS[row["start"]], row["generator"]
    kept = keep(start, generator)
    assert digest(kept) == row["sha256"]
    key = reference.key_from(SEED)
    blocks = index(start)[::8] >> np.uint64(3)
    words = reference.GENERATORS[generator](reference.counter_from(blocks, STREAM, 0), key)
    high, low = divmod(reference.threshold(P), 2**48)
    tied = np.flatnonzero(words.view("<u2").reshape(-1) == high)
    assert len(tied) > 5

    def decisions(of):
        drawn = reference.GENERATORS[generator](reference.counter_from(of, STREAM, 1), key).astype(np.uint64)
        return (drawn[:, 0] | (drawn[:, 1] & np.uint64(0xFFFF)) << np.uint64(32)) >= low

    own = index(start)[tied]
    assert (decisions(own) == kept[tied]).all()
    assert (decisions(own & np.uint64(2**32 - 1)) != kept[tied]).any()  # without the index's upper half
