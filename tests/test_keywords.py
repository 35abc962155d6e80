# SPDX-License-Identifier: BSD-3-Clause
"""Keywords of other libraries: the error names what was called, and says what to write instead."""

import inspect

import numpy as np
import pytest

import fastdrop as fd
from copies import copies
from refusal import refuse

X = np.ones((2, 3, 4, 5), np.float32)

FUNCTIONS = {
    fd.channel_dropout: {}, fd.locked_dropout: {"time_axis": 0}, fd.drop_path: {}, fd.drop_connect: {},
    fd.embedding_dropout: {},
}  # fmt: skip
CLASSES = {
    fd.Dropout: {}, fd.Dropout1d: {}, fd.Dropout2d: {}, fd.Dropout3d: {}, fd.LockedDropout: {"time_axis": 0},
    fd.DropPath: {}, fd.DropConnect: {}, fd.EmbeddingDropout: {}, fd.DropBlock1d: {"block_size": 2},
    fd.DropBlock2d: {"block_size": 2}, fd.AlphaDropout: {}, fd.FeatureAlphaDropout: {},
    fd.GaussianDropout: {},
}  # fmt: skip
HINTS = {
    "rate": "; write p=", "drop_prob": "; write p=", "seed": "; write rng=", "random_state": "; write rng=",
    "key": "; write rng=", "mode": "", "deterministic": "", "inplace": "; write out=x", "nonsense": "",
}  # fmt: skip


@pytest.mark.parametrize("keyword", HINTS)
def test_a_foreign_keyword_names_what_was_called_and_what_to_write(keyword):
    for function, options in FUNCTIONS.items():
        wanted = f"{function.__name__}: there is no keyword '{keyword}'{HINTS[keyword]}"
        hint = "write training=" if keyword in ("mode", "deterministic") else ""
        refuse(lambda: function(X[0, 0], **options, **{keyword: 1}), TypeError, wanted, hint)  # noqa: B023
    for kind, options in CLASSES.items():
        wanted = f"{kind.__name__}: there is no keyword '{keyword}'{HINTS[keyword]}"
        hint = "train() or eval()" if keyword in ("mode", "deterministic") else ""
        refuse(lambda: kind(**options, **{keyword: 1}), TypeError, wanted, hint)  # noqa: B023


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fd.Dropout2d(0.5, data_format="channels_last"),
            "Dropout2d: there is no keyword 'data_format'; write channel_axis=, -1 for channels last",
        ),
        (
            lambda: fd.channel_dropout(X, data_format="channels_last"),
            "channel_dropout: there is no keyword 'data_format'; write channel_axis=, -1 for channels last",
        ),
        (
            lambda: fd.LockedDropout(time_axis=0, noise_shape=(1,)),
            "LockedDropout: there is no keyword 'noise_shape'; write time_axis=",
        ),
        (
            lambda: fd.locked_dropout(X, time_axis=0, noise_shape=(1,)),
            "locked_dropout: there is no keyword 'noise_shape'; write time_axis=",
        ),
        (lambda: fd.Dropout(axis=1), "Dropout: there is no keyword 'axis'; write noise_shape="),
        (
            lambda: fd.channel_dropout(X, dim=1),
            "channel_dropout: there is no keyword 'dim'; write channel_axis= or sample_axis=",
        ),
        (lambda: fd.DropPath(axis=1), "DropPath: there is no keyword 'axis'; write sample_axis="),
        (
            lambda: fd.AlphaDropout(noise_shape=(1,)),
            "AlphaDropout: there is no keyword 'noise_shape'; only Dropout and dropout have a noise_shape",
        ),
        (
            lambda: fd.GaussianDropout(keep_prob=0.5),
            "GaussianDropout: there is no keyword 'keep_prob'; write p=, which is 1 - keep_prob",
        ),
        (
            lambda: fd.Dropout(training=False),
            "Dropout: there is no keyword 'training'; call train() or eval() of the layer",
        ),
        (lambda: fd.DropBlock2d(0.5), "DropBlock2d: missing a required argument: 'block_size'"),
        (lambda: fd.LockedDropout(0.5), "LockedDropout: missing a required argument: 'time_axis'"),
        (lambda: fd.Dropout3d(0.5, -1), "Dropout3d: too many positional arguments"),
    ],
)
def test_what_is_said_about_wrong_arguments(call, message):
    with pytest.raises(TypeError) as caught:
        call()
    # Python 3.12 names the kind of argument.
    assert str(caught.value).replace("required keyword-only", "required") == message


@pytest.mark.parametrize("kind", CLASSES)
def test_a_method_names_a_public_class(kind):
    layer = kind(**CLASSES[kind], rng=0)
    for method in (layer, layer.forward, layer.backward, layer.train, layer.load_state_dict):
        with pytest.raises(TypeError) as caught:
            method(X, nonsense=1)
        called, _, _ = str(caught.value).partition(".")
        assert called in ("Layer", kind.__name__, "AlphaDropout")


class OwnInit(fd.DropBlock2d):
    def __init__(self, size, **options):
        super().__init__(0.5, block_size=size, **options)


class Inherits(fd.Dropout3d):
    """Its name is what a user called."""


def test_layers_of_a_user_name_their_own_class():
    assert OwnInit(3, rng=0).block_size == 3
    assert OwnInit(size=3).block_size == 3
    wanted = "there is no keyword 'seed'; write rng="
    refuse(lambda: OwnInit(3, seed=0), TypeError, f"OwnInit: {wanted}")
    refuse(lambda: Inherits(seed=0), TypeError, f"Inherits: {wanted}")
    refuse(lambda: OwnInit(), TypeError, "OwnInit: missing a required argument: 'size'")
    for layer in (OwnInit(3, rng=0), Inherits(0.1, rng=0)):
        for other in copies(layer):
            assert repr(other) == repr(layer)
    assert str(inspect.signature(OwnInit)) == "(size, **options)"
    assert inspect.signature(Inherits) == inspect.signature(fd.Dropout3d)
    assert list(inspect.signature(fd.Dropout2d).parameters)[:2] == ["p", "channel_axis"]


def test_a_keyword_that_is_refused_takes_no_mask():
    masks = fd.MaskGenerator(0)
    for function, options in FUNCTIONS.items():
        refuse(lambda: function(X, rng=masks, rate=0.1, **options), TypeError, function.__name__)  # noqa: B023
    assert masks.state["stream"] == 0
