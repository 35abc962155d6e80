# SPDX-License-Identifier: BSD-3-Clause
"""Every public call with fixed inputs, and one digest of all that they return.

``python tests/every_call.py`` prints the number of results and their SHA-256. It is the same on every
processor and every ISA, so that a step of CI compares what old processors compute with what this one does. It
needs no package of the tests but ml_dtypes.

No result may depend on NumPy's own kernels either, which differ from processor to processor: inputs are
fractions of integers, and where matrices are multiplied, each sum has one term that is not zero.
"""

import contextlib
import dataclasses
import hashlib
import io
import pickle
import sys
from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np

import fastdrop as fd
from fastdrop import _core

DTYPES = [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
P, SEED = 0.3, 7
# Rows of whole strips and a part of one, and tiles that are whole and partial for every ISA.
SHAPE = ROWS, FEATURES = 3, 133
ACTIVATIONS = [None, "relu", "gelu", "gelu_tanh", "silu"]


def numbers(shape, dtype, first=0):
    """Multiples of 1/32 from -4 to 4, which every dtype has."""
    count = int(np.prod(shape))
    return ((np.arange(first, first + count) * 137 % 257 - 128) / 32).reshape(shape).astype(dtype)


def layouts(x):
    """The same values in other memory."""
    wide = np.zeros((2 * x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[::2, ::2] = x
    misaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    misaligned[...] = x
    return [x, x.copy(order="F"), x[:, ::-1].copy()[:, ::-1], wide[::2, ::2], misaligned]


def masks(generator):
    """A mask of every form, all of the same shape."""
    options = {"seed": SEED, "generator": generator}
    rates = np.arange(FEATURES) / (FEATURES - 1)
    yield fd.Mask(SHAPE, P, **options)
    yield fd.Mask(SHAPE, 0.0, **options)
    yield fd.Mask(SHAPE, 1.0, **options)
    yield fd.Mask(SHAPE, keep_prob=P, inverted=False, stream=2**63 - 1, **options)
    yield fd.Mask(SHAPE, P, noise_shape=(None, 1), **options)
    yield fd.Mask(SHAPE, P, noise_shape=(1, None), **options)
    yield fd.Mask(SHAPE, rates, **options)
    yield fd.Mask((2**40, FEATURES + 5), P, **options)[-ROWS:, 5:]
    yield fd.Mask((2 * ROWS, 3 * FEATURES), P, **options)[::-2, ::3]
    yield fd.Mask.from_array(np.arange(ROWS * FEATURES).reshape(SHAPE) % 3 > 0, P)
    stored = fd.Mask(SHAPE, P, **options)
    yield fd.Mask.from_bits(stored.to_bits(), SHAPE, P)


def of_masks(dtype, generator):
    x, dy = numbers(SHAPE, dtype), numbers(SHAPE, dtype, 9)
    for mask in masks(generator):
        for layout in layouts(x):
            yield "Mask", mask.apply(layout)
            yield "Mask", mask.apply(layout, out=layout)
        x = numbers(SHAPE, dtype)
        yield "Mask", (mask, mask.to_bits(), pickle.loads(pickle.dumps(mask)), mask[1:, ::2], mask.scale)
        yield "dropout_backward", fd.dropout_backward(dy, mask)
        yield "bias_dropout_add", fd.bias_dropout_add(x, dy[0], dy, mask=mask)
        yield "dropout_add_layer_norm", fd.dropout_add_layer_norm(x, dy, mask=mask)
        yield "softmax_dropout", fd.softmax_dropout(x, mask=mask)
    makes = fd.MaskGenerator(SEED, generator=generator)
    yield "MaskGenerator", [makes.mask(SHAPE, P), *makes.spawn(2), makes.state, makes]
    yield "MaskGenerator", pickle.loads(pickle.dumps(makes)).mask(9, P)
    noise = fd.GaussianNoise(SHAPE, P, seed=SEED, generator=generator)
    yield "GaussianNoise", [noise.apply(x), noise.to_numpy(), noise[1:, 1:].apply(x[1:, 1:])]
    yield "GaussianNoise", pickle.loads(pickle.dumps(noise)).apply(x)


def of_dropout(dtype, generator):
    def rng():
        return fd.MaskGenerator(SEED, generator=generator)

    x, images = numbers(SHAPE, dtype), numbers((2, 3, 10, 11), dtype)
    yield "dropout", [fd.dropout(layout, P, rng=rng()) for layout in layouts(x)]
    yield "dropout", fd.dropout(x, P, rng=rng(), noise_shape=(None, 1), inverted=False, out=np.empty_like(x))
    yield "dropout", fd.dropout(x, P, rng=rng(), training=False)
    y, mask = fd.alpha_dropout(x, P, rng=rng())
    yield "alpha_dropout", (y, mask)
    yield "alpha_dropout_backward", fd.alpha_dropout_backward(x, mask)
    y, noise = fd.gaussian_dropout(x, P, rng=rng())
    yield "gaussian_dropout", (y, noise.to_numpy())
    yield "gaussian_dropout_backward", fd.gaussian_dropout_backward(x, noise)
    yield "feature_alpha_dropout", fd.feature_alpha_dropout(images, P, rng=rng())
    yield "channel_dropout", fd.channel_dropout(images, P, rng=rng())
    yield "drop_block", fd.drop_block(images, P, block_size=3, rng=rng())
    yield "drop_connect", fd.drop_connect(x, P, row_axis=1, rng=rng())
    yield "drop_path", fd.drop_path(images, P, rng=rng())
    yield "embedding_dropout", fd.embedding_dropout(x, P, rng=rng())
    yield "locked_dropout", fd.locked_dropout(images, P, time_axis=1, rng=rng())


def of_rows(dtype, generator):
    x, residual, dy = (numbers(SHAPE, dtype, first) for first in (0, 5, 9))
    weight, bias, x_bias = (numbers(FEATURES, dtype, first) for first in (1, 2, 3))
    mask = fd.Mask(SHAPE, P, seed=SEED, generator=generator)
    for activation in ACTIVATIONS:
        y, saved = fd.bias_dropout_add(x, bias, residual, activation=activation, mask=mask)
        yield "bias_dropout_add", y
        yield "bias_dropout_add_backward", fd.bias_dropout_add_backward(dy, saved)
    y, saved = fd.dropout_add_layer_norm(x, residual, weight, bias, x_bias=x_bias, mask=mask)
    yield "dropout_add_layer_norm", y
    yield "dropout_add_layer_norm_backward", fd.dropout_add_layer_norm_backward(dy, saved, dh=residual)
    y, saved = fd.dropout_add_rms_norm(x, residual, weight, x_bias=x_bias, mask=mask)
    yield "dropout_add_rms_norm", y
    yield "dropout_add_rms_norm_backward", fd.dropout_add_rms_norm_backward(dy, saved, dh=residual)
    y, saved = fd.layer_norm(x, weight, bias)
    yield "layer_norm", y
    yield "layer_norm_backward", fd.layer_norm_backward(dy, saved)
    y, saved = fd.rms_norm(x, weight)
    yield "rms_norm", y
    yield "rms_norm_backward", fd.rms_norm_backward(dy, saved)
    for is_causal in (False, True):
        y, saved = fd.softmax_dropout(x, scale=0.5, mask=mask, is_causal=is_causal)
        yield "softmax_dropout", (y, saved)
        yield "softmax_dropout_backward", fd.softmax_dropout_backward(dy, saved)
    yield "softmax_dropout", fd.softmax_dropout(x, attn_mask=x > 0, mask=mask)
    y = fd.softmax(x)
    yield "softmax", y
    yield "softmax_backward", fd.softmax_backward(dy, y)
    y = fd.log_softmax(x)
    yield "log_softmax", y
    yield "log_softmax_backward", fd.log_softmax_backward(dy, y)
    yield "cross_entropy", fd.cross_entropy(x, np.array([1, FEATURES - 1, -1]), ignore_index=-1)
    y = fd.relu(x)
    yield "relu", y
    yield "relu_backward", fd.relu_backward(dy, y)
    for approximate in ("none", "tanh"):
        yield "gelu", fd.gelu(x, approximate=approximate)
        yield "gelu_backward", fd.gelu_backward(dy, x, approximate=approximate)
    yield "silu", fd.silu(x)
    yield "silu_backward", fd.silu_backward(dy, x)
    yield "join_sums", fd.join_sums([part.astype(np.float32) for part in (weight, bias, x_bias)])


def of_attention(dtype, generator):
    """Of query, key, value and dy, every row and every column has one number that is not zero."""
    size = 8
    turned = [np.roll(np.eye(size), turn, axis=1) for turn in range(4)]
    query, key, value, dy = (np.stack([2 * one, one]).astype(dtype) for one in turned)
    masks = fd.MaskGenerator(SEED, generator=generator)
    for options in ({}, {"is_causal": True}, {"attn_mask": np.tri(size, size, 2, bool)}):
        y, saved = fd.attention(query, key, value, P, rng=masks, **options)
        yield "attention", y
        yield "attention_backward", fd.attention_backward(dy, saved)
    layer = fd.Attention(P, rng=masks)
    yield "Attention", [layer(query, key, value), layer.backward(dy), layer]
    layer.load_state_dict(pickle.loads(pickle.dumps(layer.state_dict())))
    yield "Attention", layer(query, key, value)


def layers(dtype, rng):
    """Every layer that has one input, with the shape of it."""
    batch, images = (4, FEATURES), (2, 3, 6, 7)
    yield fd.Dropout(P, rng=rng), batch
    yield fd.Dropout1d(P, rng=rng), images[1:]
    yield fd.Dropout2d(P, rng=rng), images
    yield fd.Dropout3d(P, rng=rng), (1, *images)
    yield fd.DropBlock1d(P, block_size=3, rng=rng), images[1:]
    yield fd.DropBlock2d(P, block_size=2, rng=rng), images
    yield fd.DropConnect(P, rng=rng), batch
    yield fd.DropPath(P, rng=rng), batch
    yield fd.EmbeddingDropout(P, rng=rng), batch
    yield fd.LockedDropout(P, time_axis=0, rng=rng), batch
    yield fd.AlphaDropout(P, rng=rng), batch
    yield fd.FeatureAlphaDropout(P, rng=rng), images
    yield fd.GaussianDropout(P, rng=rng), batch
    yield fd.BiasDropoutAdd(FEATURES, P, activation="gelu", dtype=dtype, rng=rng), batch
    yield fd.DropoutAddLayerNorm(FEATURES, P, x_bias=True, dtype=dtype, rng=rng), batch
    yield fd.DropoutAddRMSNorm(FEATURES, P, dtype=dtype, rng=rng), batch
    for plain in (fd.LayerNorm(FEATURES, dtype=dtype), fd.RMSNorm(FEATURES, dtype=dtype)):
        plain.rng = rng  # it drops nothing, but its state has one, which is drawn if it is not given
        yield plain, batch


def of_layers(dtype, generator):
    made = [*layers(dtype, fd.MaskGenerator(SEED, generator=generator))]
    for layer, shape in made:
        name, x = type(layer).__name__, numbers(shape, dtype)
        yield name, [layer(x), layer.backward(x), layer, getattr(layer, "gradients", None)]
        copy = pickle.loads(pickle.dumps(layer))
        yield name, [copy(x), copy.eval()(x)]
        yield "Layer", isinstance(layer, fd.Layer)
    drop = [layer for layer, _ in made if isinstance(layer, fd.Dropout)]
    several = fd.LayerList(drop)
    with several.evaluation():
        yield "LayerList", drop[0](numbers((4, 9), dtype))
    several.load_state_dict(several.state_dict())
    yield "LayerList", several.state_dict()
    for schedule in (fd.LinearSchedule(0.0, 0.5, steps=4), fd.CurriculumSchedule(0.5, rate=0.25)):
        scheduler = fd.Scheduler(drop, schedule)
        scheduler.step()
        yield type(schedule).__name__, schedule(0)
        yield "Scheduler", [scheduler.state_dict(), drop[0].p > 0]


def of_the_rest(dtype, generator):
    """What has no results, or results that differ from processor to processor, is called all the same."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        fd.show_config()
    yield "show_config", len(text.getvalue()) > 0
    yield "isas", fd.isa() in fd.isas()
    with fd.use_isa(fd.isa()) as before:
        yield "use_isa", before == fd.isa()
    yield "isa", isinstance(fd.isa(), str)
    yield "__version__", fd.__version__ == _core.__version__
    with fd.set_num_threads(2):
        yield "get_num_threads", fd.get_num_threads() <= 2
        large = numbers(2**18, dtype)
        yield "set_num_threads", fd.dropout(large, P, rng=fd.MaskGenerator(SEED, generator=generator))[0]

    def network(x, rng):
        return fd.dropout(x, 0.5, rng=rng)[0]

    result = fd.mc_dropout(network, np.ones((3, 8), dtype), 4, rng=SEED)
    yield "mc_dropout", [result.mean, result.samples]
    yield "MonteCarlo", network(np.ones(8, dtype), result.generator(3))
    slow = fd.reference.Mask(SHAPE, P, seed=SEED, generator=generator)
    yield "reference", slow.apply(numbers(SHAPE, dtype))


def every_call() -> Iterator[tuple[str, object]]:
    """The public name of everything that is called, and what came of it."""
    for dtype in DTYPES:
        for generator in _core.generators:
            for part in (of_masks, of_dropout, of_rows, of_attention, of_layers, of_the_rest):
                yield from part(dtype, generator)


def add(digest, result) -> None:
    """Everything that can be seen of a result."""
    if isinstance(result, np.ndarray | np.generic):
        digest.update(f"{result.dtype} {result.shape}".encode())
        digest.update(np.ascontiguousarray(result).tobytes())
    elif isinstance(result, fd.Mask):
        add(digest, [result.to_numpy(), result.p, result.scale])
    elif isinstance(result, fd.MaskGenerator):
        add(digest, result.state)
    elif isinstance(result, fd.Layer):
        add(digest, result.state_dict())
    elif isinstance(result, Mapping):
        add(digest, [item for pair in result.items() for item in pair])
    elif dataclasses.is_dataclass(result):
        add(digest, [getattr(result, field.name) for field in dataclasses.fields(result)])
    elif isinstance(result, list | tuple):
        for item in result:
            add(digest, item)
    elif isinstance(result, bytes):
        digest.update(result)
    elif isinstance(result, str | int | float | None):
        digest.update(repr(result).encode())
    else:
        raise TypeError(f"no digest of a {type(result).__name__}")
    digest.update(b";")


def digest_of_all():
    """How many results there were, and their SHA-256."""
    digest, count = hashlib.sha256(), 0
    for name, result in every_call():
        add(digest, name)
        add(digest, result)
        count += 1
    return count, digest.hexdigest()


if __name__ == "__main__":
    if sys.argv[1:]:
        fd.use_isa(sys.argv[1])
    print("every call: {} results, SHA-256 {}".format(*digest_of_all()))
