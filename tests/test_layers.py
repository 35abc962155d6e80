# SPDX-License-Identifier: BSD-3-Clause
"""Layers do not lie: what they accept they use, show, save and restore, and nothing else is accepted."""

import copy
import inspect
import itertools
import pickle
import typing

import numpy as np
import pytest

import fastdrop
from copies import copies, through_json
from kind_definitions import LAYERS
from old_states import digest, following_results, values
from refusal import refuse

# Every option of every kind beside p: a value that is not the default, and one that must be refused.
OPTIONS = {
    "noise_shape": ((None, 1), "ab"),
    "inverted": (False, 2),
    "keep_prob": (2 / 3, "0.5"),
    "time_axis": (1, 1.0),
    "sample_axis": (-1, None),
    "row_axis": (1, "0"),
    "channel_axis": (-1, 0.5),
    "batched": (False, None),
    "block_size": (3, 1.5),
}
OF_KIND = {
    "Dropout": {"noise_shape", "inverted", "keep_prob"},
    "Dropout1d": {"inverted", "keep_prob", "channel_axis", "batched"},
    "Dropout2d": {"inverted", "keep_prob", "channel_axis", "batched"},
    "Dropout3d": {"inverted", "keep_prob", "channel_axis", "batched"},
    "LockedDropout": {"inverted", "keep_prob", "time_axis"},
    "DropPath": {"inverted", "keep_prob", "sample_axis"},
    "EmbeddingDropout": {"inverted", "keep_prob"},
    "DropConnect": {"inverted", "keep_prob", "row_axis"},
    "DropBlock1d": {"block_size", "channel_axis", "batched"},
    "DropBlock2d": {"block_size", "channel_axis", "batched"},
    "AlphaDropout": set(),
    "FeatureAlphaDropout": {"channel_axis"},
    "GaussianDropout": set(),
}
# An option that is None is left out of a state.
MAY_BE_NONE = {"keep_prob", "noise_shape", "row_axis"}
BLOCKS = {"DropBlock1d": {"block_size": 2}, "DropBlock2d": {"block_size": 2}}
REQUIRED = {"LockedDropout": {"time_axis": 0}, **BLOCKS}
SCALAR_P = {"AlphaDropout", "FeatureAlphaDropout", "GaussianDropout", "DropBlock1d", "DropBlock2d"}


def make(kind, **options):
    return getattr(fastdrop, kind)(**REQUIRED.get(kind, {}) | options)


def cases():
    """One layer of every definition, with the shape of its input, after two steps."""
    found = []
    for name, kind in LAYERS.items():
        layer = kind.make(0.3, 2**64 + 5)
        for _ in range(2):
            layer.backward(layer(values(kind.shape)))
        found.append(pytest.param(layer, kind.shape, id=name))
    return found


def test_every_kind_is_here():
    assert set(OF_KIND) == {type(kind.make(0.3, 0)).__name__ for kind in LAYERS.values()}
    classes = [value for name in fastdrop.__all__ if inspect.isclass(value := getattr(fastdrop, name))]
    kinds = {value.__name__ for value in classes if issubclass(value, fastdrop.Layer)}
    fused = {name for name in kinds if name in fastdrop.fused.__all__}  # see test_fused_layers.py
    assert set(OF_KIND) == kinds - fused - {"Layer"}


# --- What a layer accepts -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_layer_has_the_options_of_its_kind_only(kind):
    layer = make(kind)
    for name, (value, _) in OPTIONS.items():
        assert hasattr(layer, name) == (name in OF_KIND[kind])
        if name in OF_KIND[kind]:
            setattr(layer, name, value)
            assert getattr(layer, name) == value
        else:
            with pytest.raises(AttributeError, match=name):
                setattr(layer, name, value)
            if not (kind in BLOCKS and name == "keep_prob"):  # which sets p
                with pytest.raises(TypeError, match=name):
                    make(kind, **{name: value})
    for name in ("P", "inverts", "__dict__", "noise" if hasattr(layer, "mask") else "mask"):
        assert not hasattr(layer, name)
        with pytest.raises(AttributeError):
            setattr(layer, name, 0.5)


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_layer_has_no_slot_that_nothing_sets(kind):
    layer = make(kind)
    slots = {slot for base in type(layer).__mro__ for slot in getattr(base, "__slots__", ())}
    assert {slot for slot in slots if not hasattr(layer, slot)} == set()


@pytest.mark.parametrize("kind", OF_KIND)
def test_gaussian_dropout_draws_noise_and_all_others_masks(kind):
    layer = make(kind, rng=0)
    last, other = ("noise", "mask") if kind == "GaussianDropout" else ("mask", "noise")
    assert getattr(layer, last) is None
    refuse(lambda: setattr(layer, last, "mask"), TypeError, f"{last} must be a fastdrop.")
    assert not hasattr(layer, other)


@pytest.mark.parametrize("kind", OF_KIND)
def test_what_is_set_is_checked_when_it_is_set(kind):
    layer = make(kind, rng=0)
    wrong = {name: OPTIONS[name][1] for name in OF_KIND[kind]}
    for name, value in {**wrong, "p": "0.5", "training": 2, "rng": "0"}.items():
        before = getattr(layer, name)
        refuse(lambda: setattr(layer, name, value), TypeError, f"{name} must be")  # noqa: B023
        assert getattr(layer, name) is before
    refuse(lambda: layer.train("no"), TypeError, "training must be True or False, not 'no'")
    assert layer.training
    if kind in SCALAR_P:
        refuse(lambda: setattr(layer, "p", np.zeros(3)), TypeError, "p must be one real number")


def test_an_array_p_cannot_be_changed_behind_the_check():
    p = np.array([0.25, 0.5])
    drop = fastdrop.Dropout(p, rng=0)
    p[0] = 7
    assert drop.p.tolist() == [0.25, 0.5]
    with pytest.raises(ValueError, match="read-only"):
        drop.p[0] = 7


@pytest.mark.parametrize(("layer", "shape"), cases())
def test_no_pass_writes_to_what_the_user_set(layer, shape):
    names = ["p", "training", "rng", *OF_KIND[type(layer).__name__]]
    before = [getattr(layer, name) for name in names]
    layer.backward(layer(values(shape)))
    assert all(getattr(layer, name) is value for name, value in zip(names, before, strict=True))


def test_channel_axis_and_batched_must_go_together():
    drop = fastdrop.Dropout1d(0.5, rng=0)
    drop.channel_axis = 0
    refuse(lambda: drop(np.ones((2, 3, 4))), ValueError, "channel_axis must not be 0 with batched=True")
    drop.batched = False
    assert drop(np.ones((3, 4))).shape == (3, 4)


@pytest.mark.parametrize(("kind", "ndim"), [("Dropout1d", 3), ("Dropout3d", 5), ("DropBlock2d", 4)])
def test_a_channel_axis_that_no_input_has_is_refused_when_it_is_set(kind, ndim):
    layer = make(kind)
    for axis in (ndim, -ndim - 1):
        wanted = f"channel_axis must be an axis of an array of {ndim} axes, not {axis}"
        refuse(lambda: setattr(layer, "channel_axis", axis), ValueError, wanted)  # noqa: B023
    for axis in (ndim - 1, -ndim, None):
        layer.channel_axis = axis
        assert layer.channel_axis == axis


def test_a_layer_of_ones_own():
    class Twice(fastdrop.Layer):
        def forward(self, x, *, out=None):
            return np.multiply(x, 2, out=out)

        def backward(self, dy, *, out=None):
            return np.multiply(dy, 2, out=out)

    layer = Twice(0.25, rng=0)
    assert layer(3.0) == 6
    assert repr(layer) == "Twice(p=0.25, rng=<seed=0, stream=0>)"
    assert layer.state_dict()["layer"] == "Twice"
    with pytest.raises(TypeError, match="abstract"):
        fastdrop.Layer()


# --- Copies and states ----------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "shape"), cases())
def test_every_copy_goes_on_with_the_same_masks(layer, shape):
    x = values(shape)
    layer(x)
    _, *others = copies(layer)  # a shallow copy shares the generator
    restored = make(type(layer).__name__)
    restored.load_state_dict(through_json(layer.state_dict()))
    assert restored.state_dict() == layer.state_dict()
    last, texts = digest(layer.backward(x)), {repr(layer)}
    for other in others:
        texts.add(repr(other))
        assert digest(other.backward(x)) == last  # the mask of the last forward pass comes along
    wanted = following_results(layer, shape)
    assert all(following_results(other, shape) == wanted for other in [*others, restored])
    assert len(texts) == 1


class Named(fastdrop.Dropout):
    """A user's layer, which has a dict."""


def test_no_copy_lets_an_array_p_be_changed_behind_the_check():
    layer = Named(np.array([0.25, 0.5]), rng=0)
    layer.name = "first"
    for other in copies(layer):
        assert (other.name, other.p.tolist(), repr(other)) == ("first", [0.25, 0.5], repr(layer))
        with pytest.raises(ValueError, match="read-only"):
            other.p[0] = 7


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_state_holds_every_option(kind):
    layer = make(kind, p=0.25)
    for name in OF_KIND[kind]:
        setattr(layer, name, OPTIONS[name][0])
    layer.eval()
    state = layer.state_dict()
    assert set(state) == {"layer", "p", "training", "rng"} | OF_KIND[kind]
    assert through_json(state) == state
    other = make(kind)
    other.load_state_dict(state)
    for name in ("p", "training", *OF_KIND[kind]):
        assert getattr(other, name) == getattr(layer, name)


def test_a_state_of_another_kind_is_refused():
    for kind, other in itertools.permutations(OF_KIND, 2):
        layer, state = make(kind), make(other).state_dict()
        wanted = f"state must be that of the layer {kind!r}, not of the layer {other!r}"
        refuse(lambda: layer.load_state_dict(state), ValueError, wanted)  # noqa: B023


def may_be_none(kind, name):
    return name in MAY_BE_NONE or (name == "channel_axis" and kind != "FeatureAlphaDropout")


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_bad_option_in_a_state_changes_nothing(kind):
    layer = make(kind, rng=0)
    before = layer.state_dict()
    good = make(kind, p=0.125, rng=1).eval().state_dict()
    for name in OF_KIND[kind]:
        bad = good | {name: OPTIONS[name][1]}
        refuse(lambda: layer.load_state_dict(bad), TypeError, f"{name} must be")  # noqa: B023
        missing = {key: value for key, value in good.items() if key != name}
        if not may_be_none(kind, name):
            refuse(lambda: layer.load_state_dict(missing), ValueError, "state must be a dict")  # noqa: B023
    refuse(lambda: layer.load_state_dict(good | {"p": [[0.1], [0.1, 0.2]]}), TypeError, "p must be")
    if "batched" in OF_KIND[kind]:
        bad = good | {"channel_axis": 0}
        refuse(lambda: layer.load_state_dict(bad), ValueError, "channel_axis must not be 0 with batched=True")
    assert layer.state_dict() == before


# --- What a repr says -----------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "shape"), cases())
def test_a_repr_of_a_layer_fits_on_a_line(layer, shape):
    assert len(repr(layer)) <= 110
    assert "\n" not in repr(layer)
    for name in OF_KIND[type(layer).__name__]:
        default = inspect.signature(type(layer)).parameters[name].default
        value = getattr(layer, name)
        assert (f"{name}={value!r}" in repr(layer)) == (value != default)
    assert ("training=False" in repr(layer)) == (not layer.training)


@pytest.mark.parametrize("kind", OF_KIND)
def test_the_longest_usual_repr_of_a_layer_fits_on_a_line(kind):
    """The generator gives way to the options, of which none is left out."""
    masks = fastdrop.MaskGenerator(12345678901234567890, generator="philox4x32-10")
    masks.state = masks.state | {"stream": 2**63 - 1}
    layer = make(kind, p=1 / 3, rng=masks).eval()
    for name in OF_KIND[kind]:
        setattr(layer, name, (None, None, 1, 1) if name == "noise_shape" else OPTIONS[name][0])
    text = repr(layer)
    assert len(text) <= 110
    for name in ("training", *OF_KIND[kind], *(() if "keep_prob" in OF_KIND[kind] else ("p",))):
        assert f"{name}={getattr(layer, name)!r}" in text
    assert text.endswith((", ...)", f", rng=<{repr(masks)[len('<MaskGenerator ') :]})"))


def test_a_long_option_is_abbreviated():
    assert repr(fastdrop.Dropout(noise_shape=(None,) * 32, rng=0)) == (
        "Dropout(p=0.5, noise_shape=(None, None, None, None, None, None, None, None, None, No..., ...)"
    )
    text = repr(fastdrop.Dropout(np.full((1,) * 32, 0.5), rng=0))
    assert text.startswith("Dropout(p=array of shape (1, 1, 1, 1, ")
    assert text.endswith("1,..., rng=<seed=0, stream=0>)")


def test_a_repr_of_masks_fits_on_a_line():
    mask = fastdrop.Mask((64, 256, 56, 56), 0.1, noise_shape=(None, None, 1, 1), seed=3, stream=2**31)
    things = [mask, mask[3:, ::2], fastdrop.Mask.from_array(np.ones((3, 4), bool), 0.5), mask[0, 0, 0, 0]]
    things += [
        fastdrop.Mask(10, np.full(10, 0.5), seed=0),
        fastdrop.GaussianNoise((64, 1024), 0.1, seed=0)[3:],
    ]
    things += [fastdrop.MaskGenerator(0, generator="philox4x32-10"), fastdrop.MaskGenerator()]
    shape, rare = (64, 256, 56, 56), {"seed": 3, "stream": 2**63 - 1, "generator": "philox4x32-10"}
    things += [
        fastdrop.Mask(shape, 1 / 3, noise_shape=(None, None, 1, 1), inverted=False, **rare)[1:],
        fastdrop.Mask((1,) * 64, 1 / 3, **rare),
        fastdrop.GaussianNoise(shape, 1 / 3, **rare)[1:],
    ]
    for thing in things:
        assert len(repr(thing)) <= 110, repr(thing)
        assert repr(thing).startswith(f"<{type(thing).__name__} ")


@pytest.mark.parametrize(
    ("seed", "shown"),
    [
        (0, "seed=0"),
        (np.uint64(2**64 - 1), "seed=18446744073709551615"),
        ([1, 2], "seed=(1, 2)"),
        (range(3), "seed=(0, 1, 2)"),
        (2**100, None),
        (list(range(100)), None),
        (None, None),
        (np.random.SeedSequence(0), None),
        (np.random.default_rng(0), None),
    ],
    ids=str,
)
def test_a_repr_shows_the_seed_or_the_key(seed, shown):
    masks = fastdrop.MaskGenerator(seed)
    key = f"key=0x{masks.key[0]:08x}..."
    assert repr(masks) == f"<MaskGenerator {shown or key}, stream=0>"
    drop = fastdrop.Dropout(rng=seed)
    assert shown is None or f"rng=<{shown}, stream=0>" in repr(drop)


def test_the_seed_shown_is_never_that_of_another_key():
    masks, other = fastdrop.MaskGenerator(0), fastdrop.MaskGenerator(1)
    masks.mask(3)
    before = masks.state
    masks.state = other.state
    assert repr(masks) == f"<MaskGenerator key=0x{other.key[0]:08x}..., stream=0>"
    masks.state = before
    assert repr(masks) == f"<MaskGenerator key=0x{fastdrop.MaskGenerator(0).key[0]:08x}..., stream=1>"
    other.state = other.state | {"stream": 7}  # the key stays
    assert repr(other) == "<MaskGenerator seed=1, stream=7>"
    drop = fastdrop.Dropout(rng=0)
    drop.load_state_dict(fastdrop.Dropout(rng=5).state_dict())
    assert "seed" not in repr(drop)
    assert "seed" not in repr(masks.spawn(1))
    assert repr(pickle.loads(pickle.dumps(other))) == repr(copy.deepcopy(other)) == repr(other)


# --- What help() begins with ----------------------------------------------------------------------

CALLABLES = {name: value for name in fastdrop.__all__ if callable(value := getattr(fastdrop, name))}


@pytest.mark.parametrize("name", CALLABLES)
def test_a_signature_is_short_enough_to_be_read(name):
    """Three lines of a terminal, or 32 characters for each of more than eight parameters."""
    signature = inspect.signature(CALLABLES[name])
    assert len(str(signature)) <= max(260, 32 * len(signature.parameters))


@pytest.mark.parametrize("name", CALLABLES)
def test_postponed_annotations_can_be_resolved(name):
    function = CALLABLES[name].__init__ if inspect.isclass(CALLABLES[name]) else CALLABLES[name]
    hints = typing.get_type_hints(function)
    named = [p for p in inspect.signature(function).parameters if p != "self"]
    assert set(named) <= set(hints)
