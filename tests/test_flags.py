# SPDX-License-Identifier: BSD-3-Clause
"""training=, inverted= and every other flag is true or false, and not what Python takes for that."""

import fractions

import numpy as np
import pytest

import fastdrop as fd
from arrays import same_bytes
from fastdrop import reference
from refusal import refuse

X = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 4)
TRUE = [True, 1, np.True_, np.int8(1), np.uint64(1), np.array(True), np.array(1)]
FALSE = [False, 0, np.False_, np.int64(0), np.array(False), np.array(0, np.uint8)]
NEITHER = ["test", "train", "", b"", None, 0.0, 1.0, np.float32(1), 2, -1, np.int64(2), 2**70, [], [True], ()]
NEITHER += [X, np.array([True]), np.array(1.0), np.array(2), np.array("a"), np.array(None), 1j]
NEITHER += [fractions.Fraction(1), {}, bool, lambda: True]

# What takes `training`: from (the flag, rng) to (the result, what was drawn).
TRAINING = {
    "dropout": lambda flag, rng: fd.dropout(X, 0.5, rng=rng, training=flag),
    "dropout, not inverted": lambda flag, rng: fd.dropout(X, 0.5, rng=rng, training=flag, inverted=False),
    "channel_dropout": lambda flag, rng: fd.channel_dropout(X, 0.5, rng=rng, training=flag),
    "locked_dropout": lambda flag, rng: fd.locked_dropout(X, 0.5, time_axis=0, rng=rng, training=flag),
    "drop_path": lambda flag, rng: fd.drop_path(X, 0.5, rng=rng, training=flag),
    "drop_connect": lambda flag, rng: fd.drop_connect(X[0], 0.5, rng=rng, training=flag),
    "embedding_dropout": lambda flag, rng: fd.embedding_dropout(X[0], 0.5, rng=rng, training=flag),
    "drop_block": lambda flag, rng: fd.drop_block(X, 0.5, block_size=2, rng=rng, training=flag),
    "alpha_dropout": lambda flag, rng: fd.alpha_dropout(X, 0.5, rng=rng, training=flag),
    "feature_alpha_dropout": lambda flag, rng: fd.feature_alpha_dropout(X, 0.5, rng=rng, training=flag),
    "gaussian_dropout": lambda flag, rng: fd.gaussian_dropout(X, 0.5, rng=rng, training=flag),
}
# And `inverted`: the second is the mask.
INVERTED = {
    "dropout": lambda flag, rng: fd.dropout(X, 0.5, rng=rng, inverted=flag),
    "dropout in evaluation": lambda flag, rng: fd.dropout(X, 0.5, rng=rng, inverted=flag, training=False),
    "channel_dropout": lambda flag, rng: fd.channel_dropout(X, 0.5, rng=rng, inverted=flag),
    "Mask": lambda flag, rng: (None, fd.Mask((2, 3), 0.5, seed=0, inverted=flag)),
    "MaskGenerator.mask": lambda flag, rng: (None, rng.mask((2, 3), 0.5, inverted=flag)),
}
ENTRANCES = [("training", call) for call in TRAINING.values()]
ENTRANCES += [("inverted", call) for call in INVERTED.values()]
NAMES = [*TRAINING, *INVERTED]


@pytest.mark.parametrize(("flag", "call"), ENTRANCES, ids=NAMES)
def test_a_flag_is_a_bool_or_the_integer_0_or_1_and_means_that(flag, call):
    for wanted, spellings in ((True, TRUE), (False, FALSE)):
        y, drawn = call(wanted, fd.MaskGenerator(0))
        for spelling in spellings:
            other, again = call(spelling, fd.MaskGenerator(0))
            assert again == drawn
            assert y is other or same_bytes(other, y)


@pytest.mark.parametrize(("flag", "call"), ENTRANCES, ids=NAMES)
def test_what_is_no_flag_is_refused_before_a_mask_is_taken(flag, call):
    masks = fd.MaskGenerator(0)
    for value in NEITHER:
        wanted = f"{flag} must be True or False, not "
        refuse(lambda value=value: call(value, masks), TypeError, wanted, f"of type {type(value).__name__}")
    assert masks.state == fd.MaskGenerator(0).state


@pytest.mark.parametrize("call", TRAINING.values(), ids=TRAINING)
def test_a_mode_is_a_string_that_the_caller_compares(call):
    """CS231n's networks have dropout_param["mode"]."""
    wanted = (
        "training must be True or False, not 'test' of type str; for a mode string write training=(mode =="
    )
    refuse(lambda: call("test", fd.MaskGenerator(0)), TypeError, wanted)
    refuse(lambda: fd.Dropout(rng=0).train("test"), TypeError, wanted)


def test_the_definitions_take_the_same_flags():
    forms = [
        *(lambda flag, forward=forward: forward(X, 0.5, rng=0, training=flag)[0]
          for forward in (reference.dropout, reference.alpha_dropout, reference.gaussian_dropout)),
        lambda flag: reference.dropout(X, 0.5, rng=0, inverted=flag)[0],
    ]  # fmt: skip
    for call in forms:
        for wanted, spellings in ((True, TRUE), (False, FALSE)):
            for spelling in spellings:
                assert same_bytes(call(spelling), call(wanted))
        for value in NEITHER:
            with pytest.raises(TypeError, match=" must be True or False, not "):
                call(value)
