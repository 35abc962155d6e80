# SPDX-License-Identifier: BSD-3-Clause
"""Every public entry point of fastdrop, as calls whose memory may be refused.

A case makes fresh arrays each time, so that what a call that failed has done to them can be seen.
"""

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastdrop as fd


class Trial(NamedTuple):
    """A call that is about to be made."""

    call: Callable[[], Any]
    kept: tuple = ()  # arrays, and functions of no arguments, that a call that fails leaves as they were
    rng: Any = None  # whose stream, or number of children, may have gone on


SMALL = (6, 8)
# Two threads share the work: above twice the kElementsPerThread of csrc/runtime/tuning.h, and above twice what
# a thread takes of strided arrays and of rows.
LARGE, STRIDED = (1024, 1031), (512, 1031)


@functools.cache
def drawn(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape, np.float32).astype(dtype)


def normal(shape, dtype="float32", seed=0):
    return drawn(shape, dtype, seed).copy()


def generator():
    return fd.MaskGenerator(5)


# --- Functions with a backward pass: new arrays, `out`, and in place ----------------------------------------

LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "steps": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "misaligned": lambda x: np.frombuffer(bytearray(b" " + x.tobytes()), x.dtype, offset=1).reshape(x.shape),
}
IMAGES = (2, 3, 4, 4)

# Of x and a MaskGenerator, with options: each gives a result and what its backward pass needs.
FUNCTIONS = {
    "dropout": (fd.dropout, fd.dropout_backward, SMALL, {}),
    "dropout, noise shape": (fd.dropout, fd.dropout_backward, SMALL, {"noise_shape": (None, 1)}),
    "dropout, not inverted": (fd.dropout, fd.dropout_backward, SMALL, {"inverted": False}),
    "dropout, p by column": (fd.dropout, fd.dropout_backward, SMALL, {"p": np.linspace(0, 1, 8)}),
    "dropout, evaluation": (fd.dropout, fd.dropout_backward, SMALL, {"training": False}),
    "channel_dropout": (fd.channel_dropout, fd.dropout_backward, IMAGES, {}),
    "locked_dropout": (fd.locked_dropout, fd.dropout_backward, SMALL, {"time_axis": 0}),
    "drop_path": (fd.drop_path, fd.dropout_backward, SMALL, {}),
    "drop_connect": (fd.drop_connect, fd.dropout_backward, SMALL, {}),
    "embedding_dropout": (fd.embedding_dropout, fd.dropout_backward, SMALL, {}),
    "drop_block": (fd.drop_block, fd.dropout_backward, IMAGES, {"block_size": 2}),
    "alpha_dropout": (fd.alpha_dropout, fd.alpha_dropout_backward, SMALL, {}),
    "feature_alpha_dropout": (fd.feature_alpha_dropout, fd.alpha_dropout_backward, IMAGES, {}),
    "gaussian_dropout": (fd.gaussian_dropout, fd.gaussian_dropout_backward, SMALL, {}),
    "bias_dropout_add": (fd.bias_dropout_add, fd.bias_dropout_add_backward, SMALL, {"bias": normal(8)}),
    "bias_dropout_add, gelu": (
        lambda x, out, **options: fd.bias_dropout_add(
            x, residual=normal(SMALL, seed=2), activation="gelu", out=None if out is x else out, **options
        ),
        fd.bias_dropout_add_backward,
        SMALL,
        {"bias": normal(8)},
    ),
    "dropout_add_layer_norm": (
        fd.dropout_add_layer_norm,
        fd.dropout_add_layer_norm_backward,
        SMALL,
        {"residual": normal(SMALL, seed=2), "weight": normal(8), "bias": normal(8), "x_bias": normal(8)},
    ),
    "dropout_add_rms_norm": (
        fd.dropout_add_rms_norm,
        fd.dropout_add_rms_norm_backward,
        SMALL,
        {"residual": normal(SMALL, seed=2), "weight": normal(8), "p": np.linspace(0, 1, 8)},
    ),
    "softmax_dropout": (fd.softmax_dropout, fd.softmax_dropout_backward, SMALL, {"is_causal": True}),
}

REFUSED_IN_PLACE = fd.drop_connect, fd.embedding_dropout  # where parameters would be lost


def forward(function, shape, options, place):
    x = normal(shape)
    out = {"new": None, "out": normal(shape, seed=9), "in place": x}[place]
    masks = generator()
    kept = [x, *(array for array in (out, *options.values()) if isinstance(array, np.ndarray))]
    return Trial(lambda: function(x, rng=masks, out=out, **options), tuple(kept), masks)


def backward(function, back, shape, options, place):
    x, dy = normal(shape), normal(shape, seed=1)
    _, saved = function(x, rng=generator(), out=None, **options)
    out = {"new": None, "out": normal(shape, seed=9), "in place": dy}[place]
    return Trial(lambda: back(dy, saved, out=out), tuple(each for each in (x, dy, out) if each is not None))


# --- Functions without masks --------------------------------------------------------------------------------

PLAIN = {
    **{name: getattr(fd, name) for name in ("gelu", "silu", "relu", "softmax", "log_softmax")},
    "gelu, tanh": lambda x, out: fd.gelu(x, approximate="tanh", out=out),
    "layer_norm": lambda x, out: fd.layer_norm(x, normal(8), normal(8), out=out),
    "rms_norm": lambda x, out: fd.rms_norm(x, normal(8), out=out),
    "cross_entropy": lambda x, out: fd.cross_entropy(x, np.arange(6), out=out),
    **{
        name: lambda x, out, back=getattr(fd, name): back(x, normal(SMALL, seed=4), out=out)
        for name in ("gelu_backward", "silu_backward", "relu_backward", "softmax_backward")
    },
    "log_softmax_backward": lambda x, out: fd.log_softmax_backward(x, normal(SMALL, seed=4), out=out),
    "layer_norm_backward": lambda x, out: fd.layer_norm_backward(x, NORMS[0], out=out),
    "rms_norm_backward": lambda x, out: fd.rms_norm_backward(x, NORMS[1], out=out),
    "join_sums": lambda x, out: fd.join_sums(list(x)),
}
NORMS = fd.layer_norm(normal(SMALL))[1], fd.rms_norm(normal(SMALL))[1]


def plain(function, place):
    x = normal(SMALL)
    out = {"new": None, "out": normal(SMALL, seed=9), "in place": x}[place]
    return Trial(lambda: function(x, out=out), (x,) if out is None else (x, out))


# --- Attention: block by block, so that `out` may hold a part of the result ---------------------------------


def attention(dtype, place, options):
    arrays = tuple(normal((2, 5, 8), dtype, seed) for seed in range(3))
    out = normal((2, 5, 8), dtype, 9) if place == "out" else None
    masks = generator()
    return Trial(lambda: fd.attention(*arrays, 0.25, rng=masks, out=out, **options), arrays, masks)


def attention_backward(dtype, place, options):
    *arrays, dy = (normal((2, 5, 8), dtype, seed) for seed in range(4))
    _, saved = fd.attention(*arrays, 0.25, rng=generator(), **options)
    out = tuple(normal((2, 5, 8), dtype, 9) for _ in range(3)) if place == "out" else None
    return Trial(lambda: fd.attention_backward(dy, saved, out=out), (*arrays, dy))


# --- Masks --------------------------------------------------------------------------------------------------

MASKS = {
    "drawn": lambda shape: fd.Mask(shape, 0.25, seed=1),
    "shared": lambda shape: fd.Mask(shape, 0.25, seed=1, noise_shape=(shape[0], 1)),
    "by column": lambda shape: fd.Mask(shape, np.linspace(0, 1, shape[-1]), seed=1),
    "by element": lambda shape: fd.Mask(shape, np.resize(np.linspace(0, 1, 13), shape), seed=1),
    "stored": lambda shape: fd.Mask.from_array(normal(shape) > 0, 0.5),
    "window": lambda shape: fd.Mask((shape[0] + 3, 2 * shape[1]), 0.25, seed=1)[3:, ::2],
    "philox": lambda shape: fd.Mask(shape, 0.25, seed=1, generator="philox4x32-10"),
}
METHODS = {
    "to_numpy": lambda mask: mask.to_numpy(),
    "to_bits": lambda mask: mask.to_bits(),
    "window": lambda mask: mask[1:4, ::-1].to_numpy(),
    "apply to a list": lambda mask: mask.apply(normal(SMALL).tolist()),
    "pickle": lambda mask: pickle.loads(pickle.dumps(mask)),
    "copy": copy.copy,
    "repr": repr,
    "comparison": lambda mask: (mask == mask[:], hash(mask)),
    "properties": lambda mask: (mask.p, mask.shape, mask.size, mask.noise_shape, mask.scale),
    "from_bits": lambda mask: fd.Mask.from_bits(mask.to_bits(), mask.shape, 0.5),
    "from_array": lambda mask: fd.Mask.from_array(mask.to_numpy(), keep_prob=0.5),
}


def method(make, call):
    mask = make(SMALL)
    return Trial(lambda: call(mask))


def apply(make, lay, dtype, shape, place):
    """The core on every form of mask and layout, on arrays that two threads share."""
    mask, x = make(shape), lay(normal(shape, dtype))
    out = {"new": None, "out": lay(normal(shape, dtype, 9)), "in place": x}[place]
    return Trial(lambda: mask.apply(x, out=out), (x,) if out is None else (x, out))


def rows(call, dtype):
    """An operation on rows, and its backward pass with sums over rows, that two threads share."""
    x, out = normal(STRIDED, dtype), normal(STRIDED, dtype, 9)
    masks = generator()
    return Trial(lambda: call(x, masks, out), (x, out), masks)


def with_gradients(function, back, **options):
    def call(x, masks, out):
        _, saved = function(x, rng=masks, **options)
        return back(x, saved, out=out)

    return call


COLUMN = normal(STRIDED[1])
ROWS = {
    "bias_dropout_add": lambda x, masks, out: fd.bias_dropout_add(x, COLUMN, rng=masks, out=out),
    "its gradients": with_gradients(
        fd.bias_dropout_add, fd.bias_dropout_add_backward, bias=COLUMN, activation="gelu"
    ),
    "dropout_add_layer_norm": lambda x, masks, out: fd.dropout_add_layer_norm(
        x, None, COLUMN, COLUMN, np.linspace(0, 1, STRIDED[1]), rng=masks, out=out
    ),
    "layer_norm's gradients": with_gradients(
        fd.dropout_add_layer_norm, fd.dropout_add_layer_norm_backward, weight=COLUMN, bias=COLUMN
    ),
    "rms_norm's gradients": with_gradients(
        fd.dropout_add_rms_norm, fd.dropout_add_rms_norm_backward, weight=COLUMN
    ),
    "softmax_dropout": lambda x, masks, out: fd.softmax_dropout(x, 0.25, rng=masks, out=out),
    "its gradient": with_gradients(fd.softmax_dropout, fd.softmax_dropout_backward, p=0.25),
    "cross_entropy": lambda x, masks, out: fd.cross_entropy(x, np.arange(STRIDED[0]), out=out),
    "transposed": lambda x, masks, out: fd.gelu(x.T, out=out.T),
    "drop_block": lambda x, masks, out: fd.drop_block(
        x[None, None], block_size=3, rng=masks, out=out[None, None]
    ),
}

# --- Generators and layers ----------------------------------------------------------------------------------


def generator_call(call):
    masks = generator()
    return Trial(lambda: call(masks), rng=masks)


def set_state(masks):
    other = fd.MaskGenerator(7)
    other.state = masks.state
    return other.state


GENERATORS = {
    "constructor": lambda masks: fd.MaskGenerator([1, 2**40], generator="philox4x32-10").key,
    "constructor, NumPy's": lambda masks: fd.MaskGenerator(np.random.default_rng(1)).key,
    "mask": lambda masks: masks.mask(SMALL, 0.25),
    "mask, p by column": lambda masks: masks.mask(SMALL, np.linspace(0, 1, 8), noise_shape=(1, None)),
    "noise": lambda masks: fd.GaussianNoise(SMALL, 0.25, seed=3).to_numpy(),
    "spawn": lambda masks: [child.key for child in masks.spawn(3)],
    "state": set_state,
    "pickle": lambda masks: pickle.loads(pickle.dumps(masks)).state,
    "repr": repr,
    "mask constructor": lambda masks: fd.Mask(SMALL, 0.25, seed=3),
}

LAYERS = {
    "Dropout": (lambda: fd.Dropout(0.25, rng=1), SMALL),
    "Dropout, p by column": (lambda: fd.Dropout(np.linspace(0, 1, 8), rng=1), SMALL),
    "Dropout1d": (lambda: fd.Dropout1d(rng=1), (2, 3, 4)),
    "Dropout2d": (lambda: fd.Dropout2d(rng=1), IMAGES),
    "Dropout3d": (lambda: fd.Dropout3d(rng=1), (2, 3, 2, 2, 2)),
    "LockedDropout": (lambda: fd.LockedDropout(time_axis=0, rng=1), SMALL),
    "DropPath": (lambda: fd.DropPath(rng=1), SMALL),
    "DropConnect": (lambda: fd.DropConnect(rng=1), SMALL),
    "EmbeddingDropout": (lambda: fd.EmbeddingDropout(rng=1), SMALL),
    "DropBlock1d": (lambda: fd.DropBlock1d(block_size=2, rng=1), (2, 3, 4)),
    "DropBlock2d": (lambda: fd.DropBlock2d(block_size=2, rng=1), IMAGES),
    "AlphaDropout": (lambda: fd.AlphaDropout(rng=1), SMALL),
    "FeatureAlphaDropout": (lambda: fd.FeatureAlphaDropout(rng=1), IMAGES),
    "GaussianDropout": (lambda: fd.GaussianDropout(rng=1), SMALL),
    "BiasDropoutAdd": (lambda: fd.BiasDropoutAdd(8, activation="gelu", rng=1), SMALL),
    "DropoutAddLayerNorm": (lambda: fd.DropoutAddLayerNorm(8, x_bias=True, rng=1), SMALL),
    "DropoutAddRMSNorm": (lambda: fd.DropoutAddRMSNorm(8, rng=1), SMALL),
    "LayerNorm": (lambda: fd.LayerNorm(8), SMALL),
    "RMSNorm": (lambda: fd.RMSNorm(8), SMALL),
    "Attention": (lambda: fd.Attention(0.25, rng=1), (2, 5, 8)),
}


def arguments(layer, shape):
    return [normal(shape, seed=seed) for seed in range(3 if isinstance(layer, fd.Attention) else 1)]


def gradients(layer):
    return getattr(layer, "gradients", None)


def layer_forward(make, shape):
    layer = make()
    given = arguments(layer, shape)
    layer(*given)
    layer.backward(normal(shape, seed=4))
    kept = (lambda: (vars_of(layer), gradients(layer)), *given)
    return Trial(lambda: layer(*given), kept, getattr(layer, "rng", None))


def layer_backward(make, shape):
    layer = make()
    layer(*arguments(layer, shape))
    dy = normal(shape, seed=4)
    return Trial(lambda: (layer.backward(dy), gradients(layer)), (dy, lambda: vars_of(layer)))


def vars_of(layer):
    """What a forward pass sets, and the parameters."""
    drawn = getattr(layer, "mask", None) if hasattr(type(layer), "mask") else getattr(layer, "saved", None)
    return drawn, getattr(layer, "parameters", None), layer.training, getattr(layer, "p", None)


def layer_state(make, shape):
    """A state of another seed and p goes into a layer: all of it or nothing."""
    layer, other = make(), make()
    other(*arguments(other, shape))
    state = other.eval().state_dict()

    def load():
        layer.load_state_dict(state)
        return layer.state_dict()

    return Trial(load, (layer.state_dict,))


def layer_copies(make, shape):
    layer = make()
    layer(*arguments(layer, shape))

    def copies():
        both = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
        return repr(layer), [each.state_dict() for each in both]

    return Trial(copies, (layer.state_dict,))


def layer_made(make, shape):
    return Trial(lambda: make().state_dict())


# --- Training -----------------------------------------------------------------------------------------------


def two_layers():
    masks = generator()
    return fd.LayerList([fd.Dropout(0.25, rng=masks), fd.DropPath(0.5, rng=masks), fd.BiasDropoutAdd(8, rng=2)])


def list_loads():
    layers, other = two_layers(), two_layers()
    for layer in other:
        layer(normal(SMALL))
        layer.p = 0.75
    state = other.eval().state_dict()

    def load():
        layers.load_state_dict(state)
        return layers.state_dict()

    return Trial(load, (layers.state_dict,))


def list_switches():
    layers = two_layers()

    def switch():
        with layers.evaluation():
            modes = [layer.training for layer in layers]
        return modes, [layer.training for layer in layers]

    return Trial(switch, (layers.state_dict,))


def scheduler_steps():
    layers = two_layers()
    scheduler = fd.Scheduler(layers, fd.LinearSchedule(0.0, 0.5, 100))

    def step():
        scheduler.step()
        return layers.state_dict(), scheduler.step_number

    return Trial(step, (layers.state_dict, scheduler.state_dict))


def scheduler_loads():
    layers = two_layers()
    scheduler = fd.Scheduler(layers, fd.CurriculumSchedule(0.5, 0.1))

    def load():
        scheduler.load_state_dict({"step_number": 40})
        return layers.state_dict(), scheduler.step_number

    return Trial(load, (layers.state_dict, scheduler.state_dict))


def monte_carlo():
    layer, x = fd.Dropout(0.5, rng=3), np.abs(normal(SMALL))
    layer(x)
    masks = generator()

    def network(x, rng):
        y = layer(fd.dropout(x, 0.25, rng=rng)[0]) + 0.1
        return y / y.sum(axis=1, keepdims=True)

    def call():
        result = fd.mc_dropout(network, x, 3, rng=masks, class_axis=1, layers=[layer])
        return result.mean, result.entropy, result.generator(2).key

    return Trial(call, (x, layer.state_dict, lambda: layer.mask), masks)


def settings():
    def call():
        with fd.use_isa("scalar"), fd.set_num_threads(1):
            inside = fd.isa(), fd.get_num_threads()
        return inside, fd.isa(), fd.get_num_threads()

    return Trial(call, (fd.isa, fd.get_num_threads))


def every_case():
    """The cases by name: functions that make a trial. Large ones are about the core, the others about all."""
    small, large = {}, {}
    places = "new", "out", "in place"
    for name, (function, back, shape, options) in FUNCTIONS.items():
        for place in places:
            if place == "in place" and function in REFUSED_IN_PLACE:
                continue
            small[f"{name}, {place}"] = lambda a=(function, shape, options, place): forward(*a)
            small[f"{name}, backward, {place}"] = lambda a=(function, back, shape, options, place): backward(*a)
    for name, function in PLAIN.items():
        for place in places:
            small[f"{name}, {place}"] = lambda a=(function, place): plain(*a)
    for dtype in ("float32", "float16"):
        for place in ("new", "out"):
            for which, options in {"": {}, ", causal": {"is_causal": True, "attn_mask": np.ones(5, bool)}}.items():
                a = dtype, place, options
                small[f"attention{which}, {dtype}, {place}"] = lambda a=a: attention(*a)
                small[f"attention{which}, backward, {dtype}, {place}"] = lambda a=a: attention_backward(*a)
    for form, make in MASKS.items():
        for name, call in METHODS.items():
            small[f"mask {form}: {name}"] = lambda a=(make, call): method(*a)
    for name, call in GENERATORS.items():
        small[f"generator: {name}"] = lambda call=call: generator_call(call)
    for name, (make, shape) in LAYERS.items():
        for what in (layer_made, layer_forward, layer_backward, layer_state, layer_copies):
            small[f"{name}: {what.__name__}"] = lambda what=what, a=(make, shape): what(*a)
    for what in (list_loads, list_switches, scheduler_steps, scheduler_loads, monte_carlo, settings):
        small[what.__name__] = what
    for form, make in MASKS.items():
        for layout, lay in LAYOUTS.items():
            shape = LARGE if layout == "contiguous" else STRIDED
            for place, dtype in (("out", "float16"), ("in place", "float32")):
                large[f"mask {form} on {layout}, {place}"] = lambda a=(make, lay, dtype, shape, place): apply(*a)
        large[f"mask {form}: to_numpy"] = lambda make=make: Trial(make(LARGE).to_numpy)
    for name, call in ROWS.items():
        for dtype in ("float32", "float16"):
            large[f"rows: {name}, {dtype}"] = lambda a=(call, dtype): rows(*a)
    return small, large
