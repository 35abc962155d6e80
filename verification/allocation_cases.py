# SPDX-License-Identifier: BSD-3-Clause
"""Every public function, and every form of masks and arrays, as calls whose memory may be refused."""

import copy
import pickle

import numpy as np

import fastdrop as fd
from verification.allocation_layers import layer_cases
from verification.allocation_trials import IMAGES, SMALL, Trial, generator, normal

# Two threads share the work: twice kElementsPerThread of csrc/runtime/tuning.h, and twice what a thread takes
# of strided arrays and of rows.
LARGE, STRIDED = (1024, 1031), (512, 1031)

# --- Functions with a backward pass: new arrays, `out`, and in place ----------------------------------------

LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "steps": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "misaligned": lambda x: np.frombuffer(bytearray(b" " + x.tobytes()), x.dtype, offset=1).reshape(x.shape),
}

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
        name: lambda x, out, name=name: getattr(fd, name)(x, normal(SMALL, seed=4), out=out)
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


def every_case():
    """The cases by name: functions that make a trial. Large ones are about the core, the others about all."""
    small, large = {}, {}
    places = "new", "out", "in place"
    for name, (function, back, shape, options) in FUNCTIONS.items():
        for place in places:
            if place == "in place" and function in REFUSED_IN_PLACE:
                continue
            small[f"{name}, {place}"] = lambda a=(function, shape, options, place): forward(*a)
            small[f"{name}, backward, {place}"] = lambda a=(function, back, shape, options, place): backward(
                *a
            )
    for name, function in PLAIN.items():
        for place in places:
            small[f"{name}, {place}"] = lambda a=(function, place): plain(*a)
    for dtype in ("float32", "float16"):
        for place in ("new", "out"):
            for which, options in {
                "": {},
                ", causal": {"is_causal": True, "attn_mask": np.ones(5, bool)},
            }.items():
                a = dtype, place, options
                small[f"attention{which}, {dtype}, {place}"] = lambda a=a: attention(*a)
                small[f"attention{which}, backward, {dtype}, {place}"] = lambda a=a: attention_backward(*a)
    for form, make in MASKS.items():
        for name, call in METHODS.items():
            small[f"mask {form}: {name}"] = lambda a=(make, call): method(*a)
    small |= layer_cases()
    for form, make in MASKS.items():
        for layout, lay in LAYOUTS.items():
            shape = LARGE if layout == "contiguous" else STRIDED
            for place, dtype in (("out", "float16"), ("in place", "float32")):
                large[f"mask {form} on {layout}, {place}"] = lambda a=(make, lay, dtype, shape, place): apply(
                    *a
                )
        large[f"mask {form}: to_numpy"] = lambda make=make: Trial(make(LARGE).to_numpy)
    for name, call in ROWS.items():
        for dtype in ("float32", "float16"):
            large[f"rows: {name}, {dtype}"] = lambda a=(call, dtype): rows(*a)
    return small, large
