# SPDX-License-Identifier: BSD-3-Clause
"""Saved states load for ever: those that commit 3315941 wrote go on with the same masks."""

import json
from pathlib import Path

import numpy as np
import pytest

import fastdrop
from old_states import GENERATORS, LAYERS, arguments, digest, following_masks, following_results, values

OLD = json.loads((Path(__file__).parent / "data" / "state-3315941.json").read_text())

# The options that have no default, with values that no row of the file has.
REQUIRED = {
    "LockedDropout": {"time_axis": 0},
    "DropBlock1d": {"block_size": 1},
    "DropBlock2d": {"block_size": 1},
}


def other_layer(row):
    """A layer of that kind and with those options, but for what the old state holds."""
    options = arguments(row["options"])
    kept = {name: value for name, value in options.items() if name not in {"p", "keep_prob"}}
    return getattr(fastdrop, row["layer"])(0.9, **kept, rng=99)


def test_the_file_holds_every_layer_and_every_generator_of_its_time():
    """A kind that came later is not in it."""
    kinds = {name for name in fastdrop.__all__ if is_layer(getattr(fastdrop, name))} - {"Layer"}
    assert {row["layer"] for row in OLD["layers"]} == {name for name, *_ in LAYERS} <= kinds
    assert len(OLD["layers"]) == len(LAYERS) + 1
    assert len(OLD["generators"]) > len(GENERATORS)
    assert {row["state"]["generator"] for row in OLD["generators"]} == {"ars4x32-7", "philox4x32-10"}


def is_layer(value):
    return isinstance(value, type) and issubclass(value, fastdrop.Layer)


@pytest.mark.parametrize("row", OLD["layers"], ids=lambda row: row["layer"])
def test_an_old_state_of_a_layer_goes_on(row):
    layer = other_layer(row)
    layer(values(row["shape"]))
    layer.load_state_dict(row["state"])
    assert following_results(layer, row["shape"]) == row["following"]


@pytest.mark.parametrize("row", OLD["layers"], ids=lambda row: row["layer"])
def test_an_old_state_saved_again_needs_no_options(row):
    """The new state holds them."""
    layer = other_layer(row)
    layer.load_state_dict(row["state"])
    state = json.loads(json.dumps(layer.state_dict()))
    plain = getattr(fastdrop, row["layer"])(**REQUIRED.get(row["layer"], {}), rng=5)
    plain.load_state_dict(state)
    assert plain.state_dict() == state
    assert following_results(plain, row["shape"]) == row["following"]


@pytest.mark.parametrize("row", OLD["generators"], ids=lambda row: str(row["state"]["stream"]))
def test_an_old_state_of_a_generator_goes_on(row):
    masks = fastdrop.MaskGenerator(99)
    masks.state = row["state"]
    assert following_masks(masks) == row["following"]


def test_an_old_state_of_a_scheduler_goes_on():
    (row,) = OLD["schedulers"]
    drop = fastdrop.Dropout(rng=0)
    scheduler = fastdrop.Scheduler([drop], fastdrop.LinearSchedule(0.0, 0.5, steps=10))
    scheduler.load_state_dict(row["state"])
    assert (scheduler.step_number, drop.p) == (row["state"]["step_number"], row["p"]) == (7, 0.35)


def test_a_fault_would_be_found():
    """Another stream gives other results: the comparison above can fail."""
    row = OLD["layers"][0]
    layer = other_layer(row)
    state = row["state"]
    layer.load_state_dict(state | {"rng": state["rng"] | {"stream": state["rng"]["stream"] + 1}})
    assert following_results(layer, row["shape"])[0] != row["following"][0]
    assert digest(np.zeros(3)) != digest(np.ones(3))
