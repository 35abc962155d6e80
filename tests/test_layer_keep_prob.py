# SPDX-License-Identifier: BSD-3-Clause
"""A layer that is given keep_prob keeps that number: it scales by it, shows it and saves it."""

import pickle

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes
from refusal import refuse

X = np.ones(64, np.float32)
SCALING = [
    lambda **p: fastdrop.Dropout(**p, rng=0),
    lambda **p: fastdrop.Dropout2d(**p, rng=0),
    lambda **p: fastdrop.LockedDropout(**p, time_axis=0, rng=0),
    lambda **p: fastdrop.DropPath(**p, rng=0),
    lambda **p: fastdrop.EmbeddingDropout(**p, rng=0),
    lambda **p: fastdrop.DropConnect(**p, rng=0),
]


@pytest.mark.parametrize("make", SCALING)
def test_a_layer_scales_by_exactly_one_over_keep_prob(make):
    """The quotient of two doubles, for every keep_prob of one and of two digits."""
    for keep_prob in [0.1, 0.3, *(percent / 100 for percent in range(1, 100))]:
        layer = make(keep_prob=keep_prob)
        shape = (6, 5, 2, 2) if isinstance(layer, fastdrop.Dropout2d) else (6, 5)
        layer(np.ones(shape))
        assert layer.mask.scale == 1 / keep_prob
        layer.keep_prob = 1.0
        assert (layer.p, same_bytes(layer(np.ones(shape)), np.ones(shape))) == (0.0, True)


@pytest.mark.parametrize("make", SCALING)
def test_p_and_keep_prob_show_what_was_given(make):
    layer = make(keep_prob=0.1)
    name = type(layer).__name__
    assert (layer.keep_prob, layer.p) == (0.1, 1 - 0.1)
    assert repr(layer).startswith(f"{name}(keep_prob=0.1, ")
    layer.p = 0.25
    assert (layer.keep_prob, layer.p) == (None, 0.25)
    assert repr(layer).startswith(f"{name}(p=0.25, ")
    assert "keep_prob" not in layer.state_dict()
    layer.keep_prob = np.array([0.1])
    assert (layer.keep_prob.tolist(), layer.p.tolist()) == ([0.1], [1 - 0.1])
    assert repr(layer).startswith(f"{name}(keep_prob=array of shape (1,), ")
    for array in (layer.keep_prob, layer.p, pickle.loads(pickle.dumps(layer)).keep_prob):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7
    for wrong, kind in [(1.5, ValueError), ("0.5", TypeError), (True, TypeError)]:
        refuse(lambda: setattr(layer, "keep_prob", wrong), kind, "keep_prob must be")  # noqa: B023
    assert layer.keep_prob.tolist() == [0.1]
    layer.keep_prob = None
    assert (layer.keep_prob, layer.p.tolist()) == (None, [1 - 0.1])


def test_a_pickle_that_knows_no_keep_prob_loads():
    """As an older version wrote it."""
    attributes, slots = fastdrop.Dropout(0.25, rng=0).__getstate__()
    del slots["_keep_prob"]
    old = object.__new__(fastdrop.Dropout)
    old.__setstate__((attributes, slots))
    assert (old.p, old.keep_prob) == (0.25, None)
    assert same_bytes(old(X), fastdrop.Dropout(0.25, rng=0)(X))


def test_a_scheduler_that_is_refused_leaves_keep_prob_as_it_was():
    layers = [fastdrop.Dropout(keep_prob=0.1), fastdrop.GaussianDropout(0.1)]
    refuse(lambda: fastdrop.Scheduler(layers, lambda step: 1.0), ValueError, "p must be less than 1")
    assert [layers[0].keep_prob, layers[1].p] == [0.1, 0.1]
