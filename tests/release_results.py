# SPDX-License-Identifier: BSD-3-Clause
"""Calls of every public function, whose results each release keeps as hashes (`releases.py`).

A case that a release has been made with is never changed. What is new gets a new case.
"""

import hashlib

import ml_dtypes
import numpy as np

import fastdrop as fd

DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
SHAPE = ROWS, COLUMNS = 70, 33  # more rows than a block of a sum has, and no whole register
CHANNELS = 4, 6, 5, 7
ALL_KEYS = 16


def values(shape, dtype, which=0):
    """Numbers from -4 to 4 that no library's generator has made, another set for each `which`."""
    count = int(np.prod(shape))
    hashed = (np.arange(which * count, (which + 1) * count, dtype=np.uint64) * 2654435761) % 2**32
    return (hashed.astype(np.float64) * 2.0**-29 - 4).astype(dtype).reshape(shape)


def arrays_of(result):
    """All arrays in a result, in order; a number is one without axes."""
    if isinstance(result, tuple):
        return [array for part in result for array in arrays_of(part)]
    return [] if result is None else [np.asarray(result)]


def digest(array):
    """Of dtype, shape and the elements in C order."""
    name = f"{array.dtype.name} {array.shape} ".encode()
    return hashlib.sha256(name + np.ascontiguousarray(array).tobytes()).hexdigest()


# --- Dropout of every kind ------------------------------------------------------------------------------


def both_passes(function, backward=fd.dropout_backward, shape=SHAPE, p=0.3, **options):
    def case(dtype):
        y, drawn = function(values(shape, dtype), p, rng=5, **options)
        return y, backward(values(shape, dtype, 1), drawn)

    return case


def by_keep_prob(dtype):
    y, mask = fd.dropout(values(SHAPE, dtype), keep_prob=0.1, rng=2**64 + 3)
    return y, fd.dropout_backward(values(SHAPE, dtype, 1), mask)


def window_of_mask(dtype):
    mask = fd.Mask((2**40, 100), 0.7, seed=3, stream=2**62, generator="philox4x32-10")[-ROWS:, 1:67:2]
    return mask.apply(values(SHAPE, dtype))


def own_mask(dtype):
    keep = values(SHAPE, np.float64, 2) > 1
    return fd.Mask.from_array(keep, 0.4).apply(values(SHAPE, dtype))


def special_numbers(dtype):
    """Both zeros, the infinities, the largest and the smallest number; a NaN would depend on its payload."""
    info = ml_dtypes.finfo(dtype)
    odd = [0.0, -0.0, np.inf, -np.inf, info.max, -info.max, info.tiny, info.smallest_subnormal]
    return fd.dropout(np.resize(np.array(odd, dtype), 500), 0.25, rng=1)[0]


def one_sample(dtype):
    x = values(SHAPE, dtype)
    result = fd.mc_dropout(lambda x, rng: fd.dropout(x, 0.5, rng=rng)[0], x, 3, rng=4)
    return result.mean, result.std


RATES = np.arange(COLUMNS) / (COLUMNS - 1.0)
DROPOUT = {
    "dropout": both_passes(fd.dropout),
    "dropout, p=0": both_passes(fd.dropout, p=0.0),
    "dropout, p=1": both_passes(fd.dropout, p=1.0),
    "dropout, p=2**-17": both_passes(fd.dropout, p=2.0**-17),
    "dropout, p by column": both_passes(fd.dropout, p=RATES),
    "dropout, keep_prob": by_keep_prob,
    "dropout, noise_shape": both_passes(fd.dropout, noise_shape=(None, 1)),
    "dropout, not inverted": both_passes(fd.dropout, inverted=False),
    "dropout, evaluation of not inverted": both_passes(fd.dropout, inverted=False, training=False),
    "dropout, special numbers": special_numbers,
    "Mask, a window": window_of_mask,
    "Mask.from_array": own_mask,
    "channel_dropout": both_passes(fd.channel_dropout, shape=CHANNELS),
    "locked_dropout": both_passes(fd.locked_dropout, shape=CHANNELS, time_axis=1),
    "drop_path": both_passes(fd.drop_path),
    "embedding_dropout": both_passes(fd.embedding_dropout),
    "drop_connect": both_passes(fd.drop_connect),
    "drop_connect, by rows": both_passes(fd.drop_connect, row_axis=0),
    "drop_block": both_passes(fd.drop_block, shape=CHANNELS, block_size=3),
    "alpha_dropout": both_passes(fd.alpha_dropout, fd.alpha_dropout_backward),
    "feature_alpha_dropout": both_passes(fd.feature_alpha_dropout, fd.alpha_dropout_backward, CHANNELS),
    "gaussian_dropout": both_passes(fd.gaussian_dropout, fd.gaussian_dropout_backward),
    "mc_dropout": one_sample,
}

# --- Fused operations -----------------------------------------------------------------------------------


def compute_type(dtype):
    return np.float64 if dtype == np.float64 else np.float32


def bias_dropout_add(activation, with_residual=True):
    def case(dtype):
        x, residual, dy = (values(SHAPE, dtype, which) for which in range(3))
        bias = values(COLUMNS, dtype, 3)
        residual = residual if with_residual else None
        y, saved = fd.bias_dropout_add(x, bias, residual, 0.2, activation=activation, rng=6)
        return y, fd.bias_dropout_add_backward(dy, saved)

    return case


def layer_norm(dtype):
    x, residual, dy, dh = (values(SHAPE, dtype, which) for which in range(4))
    weight, bias, x_bias = (values(COLUMNS, compute_type(dtype), which) for which in range(3))
    y, saved = fd.dropout_add_layer_norm(x, residual, weight, bias, 0.2, x_bias=x_bias, rng=7)
    return y, saved.h, saved.mean, saved.rstd, fd.dropout_add_layer_norm_backward(dy, saved, dh=dh)


def rms_norm(dtype):
    x, residual, dy, dh = (values(SHAPE, dtype, which) for which in range(4))
    weight, x_bias = (values(COLUMNS, compute_type(dtype), which) for which in range(2))
    y, saved = fd.dropout_add_rms_norm(x, residual, weight, 0.2, x_bias=x_bias, rng=8)
    return y, saved.h, saved.rstd, fd.dropout_add_rms_norm_backward(dy, saved, dh=dh)


def plain_layer_norm(dtype):
    weight, bias = (values(COLUMNS, compute_type(dtype), which) for which in range(2))
    y, saved = fd.layer_norm(values(SHAPE, dtype), weight, bias)
    return y, fd.layer_norm_backward(values(SHAPE, dtype, 1), saved)


def plain_rms_norm(dtype):
    y, saved = fd.rms_norm(values(SHAPE, dtype), values(COLUMNS, compute_type(dtype)))
    return y, fd.rms_norm_backward(values(SHAPE, dtype, 1), saved)


def activation(function, backward, of_result=False, **options):
    def case(dtype):
        x = values(SHAPE, dtype)
        y = function(x, **options)
        return y, backward(values(SHAPE, dtype, 1), y if of_result else x, **options)

    return case


def softmax_dropout(is_causal):
    def case(dtype):
        scores, dy = values((3, 20, COLUMNS), dtype), values((3, 20, COLUMNS), dtype, 1)
        may_attend = None if is_causal else values((20, COLUMNS), np.float64, 2) < 3
        options = {"scale": 0.5, "attn_mask": may_attend, "is_causal": is_causal, "rng": 9}
        y, saved = fd.softmax_dropout(scores, 0.1, **options)
        return y, fd.softmax_dropout_backward(dy, saved)

    return case


def cross_entropy(dtype):
    targets = np.arange(ROWS) % COLUMNS
    return fd.cross_entropy(values(SHAPE, dtype), targets, ignore_index=7)


def attention(dtype):
    """With products of matrices that are exact, since every sum has one number that is not zero."""
    eye = np.eye(ALL_KEYS, dtype=dtype)
    added = values((ALL_KEYS, ALL_KEYS), dtype)
    y, saved = fd.attention(eye[::-1], 2 * eye, eye, 0.2, attn_mask=added, scale=0.5, rng=10)
    gradients = fd.attention_backward(eye[:, ::-1], saved)
    return tuple(array + array.dtype.type(0) for array in arrays_of((y, saved.lse, gradients)))  # no -0.0


def join_sums(dtype):
    return fd.join_sums([values(COLUMNS, compute_type(dtype), which) for which in range(8)])


FUSED = {
    "bias_dropout_add": bias_dropout_add(None),
    "bias_dropout_add, relu": bias_dropout_add("relu"),
    "bias_dropout_add, relu without residual": bias_dropout_add("relu", with_residual=False),
    "bias_dropout_add, gelu": bias_dropout_add("gelu"),
    "bias_dropout_add, gelu_tanh": bias_dropout_add("gelu_tanh"),
    "bias_dropout_add, silu": bias_dropout_add("silu"),
    "dropout_add_layer_norm": layer_norm,
    "dropout_add_rms_norm": rms_norm,
    "layer_norm": plain_layer_norm,
    "rms_norm": plain_rms_norm,
    "relu": activation(fd.relu, fd.relu_backward, of_result=True),
    "gelu": activation(fd.gelu, fd.gelu_backward),
    "gelu, tanh": activation(fd.gelu, fd.gelu_backward, approximate="tanh"),
    "silu": activation(fd.silu, fd.silu_backward),
    "softmax": activation(fd.softmax, fd.softmax_backward, of_result=True),
    "log_softmax": activation(fd.log_softmax, fd.log_softmax_backward, of_result=True),
    "softmax_dropout": softmax_dropout(is_causal=False),
    "softmax_dropout, causal": softmax_dropout(is_causal=True),
    "cross_entropy": cross_entropy,
    "attention": attention,
    "join_sums": join_sums,
}
RESULTS = DROPOUT | FUSED


def hashes(name, dtype):
    """The hash of every array that a case gives."""
    return [digest(array) for array in arrays_of(RESULTS[name](DTYPES[dtype]))]
