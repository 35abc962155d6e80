# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of dropout refuse what is wrong: the argument, what came, what is wanted."""

import numpy as np
import pytest

import fastdrop as fd
from refusal import refuse

X = np.ones((2, 3, 4, 5), np.float32)


def called(kind):
    """A layer of that kind and its first call, as one function."""
    return lambda x, **options: kind(**options)(x)


AXIS = "channel_axis must be an axis of an array of 4 axes, not 4"
SAMPLES = "channel_axis must not be 0, which is sample"
# The function, the name of the axis, what comes, the exception, what it says.
AXES = [
    (fd.channel_dropout, "channel_axis", 4, ValueError, AXIS),
    (fd.channel_dropout, "channel_axis", 0, ValueError, SAMPLES),
    (fd.channel_dropout, "channel_axis", -4, ValueError, SAMPLES),
    (fd.channel_dropout, "channel_axis", 1.0, TypeError, "channel_axis must be an integer, not 1.0"),
    (fd.channel_dropout, "channel_axis", None, TypeError, "channel_axis must be an integer, not None"),
    (
        fd.locked_dropout,
        "time_axis",
        -5,
        ValueError,
        "time_axis must be an axis of an array of 4 axes, not -5",
    ),
    (fd.locked_dropout, "time_axis", None, TypeError, "time_axis must be an integer, not None"),
    (called(fd.LockedDropout), "time_axis", "0", TypeError, "time_axis must be an integer"),
    (called(fd.LockedDropout), "time_axis", 4, ValueError, "time_axis must be an axis of an array of 4 axes"),
    (fd.drop_path, "sample_axis", None, TypeError, "sample_axis must be an integer, not None"),
    (called(fd.DropPath), "sample_axis", True, TypeError, "sample_axis must be an integer, not True"),
    (fd.drop_connect, "row_axis", 7, ValueError, "row_axis must be an axis of an array of 4 axes, not 7"),
    (called(fd.DropConnect), "row_axis", 0.5, TypeError, "row_axis must be an integer"),
]


@pytest.mark.parametrize(("function", "name", "axis", "kind", "wanted"), AXES)
def test_an_axis_that_is_not_there_is_refused(function, name, axis, kind, wanted):
    refuse(lambda: function(X, **{name: axis}), kind, wanted)


def test_a_number_has_no_axis_of_samples():
    refuse(lambda: fd.drop_path(np.float32(1), 0.5), ValueError, "sample_axis must be an axis", "0 axes")


NO_SUCH_OPTION = {
    "channel_dropout": (lambda: fd.channel_dropout(X, noise=3), "keyword"),
    "drop_path": (lambda: fd.drop_path(X, noise=3), "keyword"),
    "embedding_dropout": (lambda: fd.embedding_dropout(X[0, 0], noise=3), "keyword"),
    "drop_connect": (lambda: fd.drop_connect(X, noise=3), "keyword"),
    "Dropout2d": (lambda: fd.Dropout2d(0.5, axis=3), "keyword"),
    "DropPath": (lambda: fd.DropPath(0.5, axis=3), "keyword"),
    "EmbeddingDropout": (lambda: fd.EmbeddingDropout(0.5, axis=3), "keyword"),
    "DropConnect": (lambda: fd.DropConnect(0.5, axis=3), "keyword"),
    "LockedDropout with noise_shape": (
        lambda: fd.LockedDropout(time_axis=0, noise_shape=(1,)),
        "noise_shape",
    ),
    "DropPath with noise_shape": (lambda: fd.DropPath(noise_shape=(1,)), "noise_shape"),
    "LockedDropout without time_axis": (lambda: fd.LockedDropout(0.5), "time_axis"),
}


@pytest.mark.parametrize("name", NO_SUCH_OPTION)
def test_an_option_that_is_unknown_or_missing_is_refused(name):
    call, wanted = NO_SUCH_OPTION[name]
    with pytest.raises(TypeError, match=wanted):
        call()


@pytest.mark.parametrize("call", [fd.embedding_dropout, fd.EmbeddingDropout(0.5)])
def test_a_table_without_two_axes_is_refused(call):
    refuse(
        lambda: call(X),
        ValueError,
        "table must have the two axes (rows, columns), not the shape (2, 3, 4, 5)",
    )


@pytest.mark.parametrize("words", [np.arange(5), np.zeros((2, 3), np.uint8), [1, 2], 3], ids=str)
@pytest.mark.parametrize("call", [fd.embedding_dropout, fd.EmbeddingDropout(0.5)])
def test_words_instead_of_the_table_are_refused(call, words):
    """They are not to be made floats."""
    wanted = "table must be the embedding table, floats, not integers"
    refuse(lambda: call(words), TypeError, wanted, "embedding_dropout(table)[0][words]")
    for no_array in ("ab", None, [[1.0], [1.0, 2.0]], [1j]):
        refuse(lambda: call(no_array), TypeError, "table must be")  # noqa: B023


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (fd.embedding_dropout, "table"),
        (fd.drop_connect, "weight"),
        (lambda x, **options: fd.drop_connect(x, row_axis=0, **options), "weight"),
        (lambda x, training, out: fd.EmbeddingDropout().train(training)(x, out=out), "table"),
        (lambda x, training, out: fd.DropConnect().train(training)(x, out=out), "weight"),
    ],
)
def test_parameters_are_not_overwritten(call, name, training):
    """Not by a part of them either; and the refusal takes no mask."""
    memory = np.arange(60, dtype=np.float32)
    x = memory[:48].reshape(6, 8)
    for out in (x, memory[12:].reshape(6, 8), x[::-1], x[:, ::-1], memory[:48].reshape(8, 6).T):
        wanted = f"out must not share memory with {name}"
        refuse(lambda: call(x, training=training, out=out), ValueError, wanted, "leave out out=")  # noqa: B023
    assert (memory == np.arange(60)).all()
    out = np.empty_like(x)
    assert call(x, training=training, out=out) is out or call(x, training=training, out=out)[0] is out
    masks = fd.MaskGenerator(0)
    for function in (fd.embedding_dropout, fd.drop_connect):
        refuse(lambda: function(x, rng=masks, out=x), ValueError, "out must not share")  # noqa: B023
    assert masks.state["stream"] == 0


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (fd.Dropout1d(), "3 axes (N, C, L) of batched=True"),
        (fd.Dropout1d(batched=False), "2 axes (C, L) of batched=False"),
        (fd.Dropout2d(batched=False), "3 axes (C, H, W) of batched=False"),
        (fd.Dropout3d(channel_axis=-1), "5 axes (N, D, H, W, C) of batched=True"),
        (fd.DropBlock1d(block_size=2, channel_axis=2), "3 axes (N, L, C) of batched=True"),
        (fd.DropBlock2d(block_size=2, batched=False, channel_axis=2), "3 axes (H, W, C) of batched=False"),
    ],
)  # fmt: skip
def test_the_rank_is_the_stated_one(layer, names):
    """Also in evaluation: a network must not fail only when it is trained."""
    for training in (True, False):
        layer.train(training)
        refuse(lambda: layer(X), ValueError, f"x must have the {names}, not the shape (2, 3, 4, 5)")


MAPS = {
    "batched": ({"batched": 2}, TypeError, "batched must be True or False, not 2 of type int"),
    "channel_axis=0": ({"channel_axis": 0}, ValueError, "channel_axis must not be 0 with batched=True"),
    "channel_axis=4": ({"channel_axis": 4}, ValueError, AXIS),
    "channel_axis=3 of three": (
        {"batched": False, "channel_axis": 3}, ValueError, "channel_axis must be an axis", "3 axes",
    ),
    "p": ({"p": 2}, ValueError, "p must be from 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("make", [fd.Dropout2d, lambda **options: fd.DropBlock2d(block_size=1, **options)])
def test_feature_maps_that_are_not_there_are_refused(make, name):
    options, *refusal = MAPS[name]
    refuse(lambda: make(**options), *refusal)


LONG_BLOCK = "block_size must be at most 4, the length of axis 2, not 5"
ONE_P = "p must be one real number, not an array of the shape (3,)"
RATES = np.array([0.1, 0.2, 0.3])
BLOCKS = {
    "block_size=0": (lambda: fd.DropBlock2d(block_size=0), ValueError, "block_size must be at least 1"),
    "block_size=1.5": (lambda: fd.DropBlock2d(block_size=1.5), TypeError, "block_size must be an integer"),
    "block_size=5": (lambda: fd.drop_block(X, block_size=5), ValueError, LONG_BLOCK),
    "block_size=5 in evaluation": (
        lambda: fd.drop_block(X, block_size=5, training=False), ValueError, LONG_BLOCK,
    ),
    "channel_axis": (
        lambda: fd.drop_block(X, block_size=2, channel_axis=0), ValueError, "channel_axis must not be 0",
    ),
    "p and keep_prob": (
        lambda: fd.drop_block(X, 0.5, block_size=2, keep_prob=0.5), ValueError, "keep_prob must not be given",
    ),
    "rng": (lambda: fd.drop_block(X, block_size=2, rng="a"), TypeError, "rng must be"),
    "p that varies": (lambda: fd.drop_block(X, RATES, block_size=2), TypeError, ONE_P),
    "p of a layer that varies": (lambda: fd.DropBlock2d(RATES, block_size=2), TypeError, ONE_P),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_that_do_not_fit_are_refused(name):
    refuse(*BLOCKS[name])


OUT = {
    "shape": (np.zeros((2, 3, 4, 6), np.float32), ValueError, "out must have the shape of x"),
    "dtype": (np.zeros(X.shape, np.float64), TypeError, "out must have the dtype of x"),
    "kind": ([1.0], TypeError, "out must be a numpy.ndarray"),
}


@pytest.mark.parametrize("wrong", OUT)
@pytest.mark.parametrize(
    "layer", [fd.Dropout2d(), fd.LockedDropout(time_axis=1), fd.DropPath(), fd.DropBlock2d(block_size=2)]
)
def test_an_out_that_does_not_fit_is_refused_and_left_alone(layer, wrong):
    out, kind, text = OUT[wrong]
    refuse(lambda: layer(X, out=out), kind, text)
    assert not np.any(np.asarray(out) == 2)


@pytest.mark.parametrize("layer", [fd.DropBlock1d(block_size=1), fd.DropPath(), fd.GaussianDropout()])
def test_backward_without_a_forward_pass_is_refused(layer):
    refuse(
        lambda: layer.backward(X), ValueError, "backward needs a forward pass before it: call the layer first"
    )
