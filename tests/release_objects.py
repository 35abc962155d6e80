# SPDX-License-Identifier: BSD-3-Clause
"""Objects that each release keeps as pickles and states, and what must follow from them (`releases.py`).

A case that a release has been made with is never changed. What is new gets a new case.
"""

import numpy as np

import fastdrop as fd
from old_states import following_masks
from release_results import arrays_of, digest, values

X = values((6, 10), np.float32)
MAPS = values((2, 3, 8, 7), np.float32)  # samples, channels, height, width
SEED = 2**64 + 5


def mask_generator():
    masks = fd.MaskGenerator(SEED, generator="philox4x32-10")
    masks.mask(3)
    masks.spawn(2)
    return masks


def scheduler():
    made = fd.Scheduler([fd.Dropout(rng=0)], fd.LinearSchedule(0.0, 0.5, steps=10))
    for _ in range(7):
        made.step()
    return made


def monte_carlo():
    def network(x, rng):
        first = np.where(fd.dropout(x, 0.5, rng=rng)[0] == 0, 0.25, 0.5)
        return np.stack([first, 1 - first])

    return fd.mc_dropout(network, np.ones(5), 3, rng=1, class_axis=0)


def with_parameters(layer):
    """Numbers that a layer does not begin with."""
    for which, parameter in enumerate(layer.parameters.values()):
        parameter[...] = values(parameter.shape, parameter.dtype, which)
    return layer


# How to make every layer, and an input for it.
LAYERS = {
    "Dropout": (lambda: fd.Dropout(0.3, rng=SEED), X),
    "Dropout, noise_shape": (lambda: fd.Dropout(0.3, noise_shape=(None, 1), inverted=False, rng=1), X),
    "Dropout, keep_prob by column": (lambda: fd.Dropout(keep_prob=np.arange(10) / 9, rng=2), X),
    "Dropout1d": (lambda: fd.Dropout1d(0.3, rng=3), MAPS[0]),
    "Dropout2d": (lambda: fd.Dropout2d(0.3, channel_axis=-1, batched=False, rng=4), MAPS[0]),
    "Dropout3d": (lambda: fd.Dropout3d(0.3, rng=5), MAPS[np.newaxis]),
    "LockedDropout": (lambda: fd.LockedDropout(0.3, time_axis=1, rng=6), MAPS[0]),
    "DropPath": (lambda: fd.DropPath(0.3, sample_axis=1, rng=7), X),
    "EmbeddingDropout": (lambda: fd.EmbeddingDropout(0.3, rng=8), X),
    "DropConnect": (lambda: fd.DropConnect(0.3, row_axis=0, rng=9), X),
    "DropBlock1d": (lambda: fd.DropBlock1d(0.3, block_size=2, rng=10), MAPS[0]),
    "DropBlock2d": (lambda: fd.DropBlock2d(0.3, block_size=3, rng=11), MAPS),
    "AlphaDropout": (lambda: fd.AlphaDropout(0.3, rng=12), X),
    "FeatureAlphaDropout": (lambda: fd.FeatureAlphaDropout(0.3, rng=13), MAPS),
    "GaussianDropout": (lambda: fd.GaussianDropout(0.3, rng=14), X),
    "BiasDropoutAdd": (lambda: with_parameters(fd.BiasDropoutAdd(10, 0.3, activation="gelu", rng=15)), X),
    "DropoutAddLayerNorm": (
        lambda: with_parameters(fd.DropoutAddLayerNorm(10, 0.3, eps=1e-3, x_bias=True, rng=16)), X
    ),
    "DropoutAddRMSNorm": (lambda: with_parameters(fd.DropoutAddRMSNorm(10, 0.3, x_bias=True, rng=17)), X),
    "LayerNorm": (lambda: with_parameters(fd.LayerNorm(10, dtype="float64")), X.astype(np.float64)),
    "RMSNorm": (lambda: with_parameters(fd.RMSNorm(10, eps=1e-3)), X),
    "Attention": (lambda: fd.Attention(0.3, is_causal=True, scale=0.5, rng=18), np.eye(7, dtype=np.float32)),
}  # fmt: skip


def inputs_of(name):
    """Of attention three matrices whose products are exact: the bits of others are the BLAS's."""
    _, x = LAYERS[name]
    return (x, x, x) if name == "Attention" else (x,)


def stepped(name):
    """The layer after two forward passes, the last of which waits for its backward pass."""
    make, x = LAYERS[name]
    layer = make()
    layer(*inputs_of(name))
    layer.backward(x)
    layer(*inputs_of(name))
    return layer


def layer_list(names=tuple(LAYERS)):
    return fd.LayerList([stepped(name) for name in names])


MASK = fd.Mask((6, 10), 0.3, seed=SEED, stream=2**40 + 1)
OWN_MASK = fd.Mask.from_array(X > 0, keep_prob=0.75)
EYE, VECTOR = np.eye(7, dtype=np.float32), X[0]
OBJECTS = {
    **{name: (lambda name=name: stepped(name)) for name in LAYERS},
    "LayerList": lambda: layer_list(LISTED),
    "Mask": lambda: MASK,
    "Mask, a window with steps": lambda: MASK[1:, ::-3],
    "Mask, keep_prob": lambda: fd.Mask((6, 10), keep_prob=0.1, seed=2, generator="philox4x32-10"),
    "Mask, keep_prob by column": lambda: fd.Mask((6, 10), keep_prob=np.arange(10) / 9, seed=3),
    "Mask, noise_shape": lambda: fd.Mask((6, 10), 0.3, noise_shape=(6, 1), inverted=False, seed=4),
    "Mask, key": lambda: fd.Mask((6, 10), 0.5, key=(1, 2, 3, 2**32 - 1)),
    "Mask, endless": lambda: fd.Mask((2**50, 10), 0.3, seed=5)[-6:],
    "Mask.from_array": lambda: OWN_MASK,
    "Mask.from_array, a window": lambda: OWN_MASK[::2, 3:],
    "Mask of drop_block": lambda: fd.drop_block(MAPS, 0.3, block_size=2, rng=6)[1],
    "Mask of alpha_dropout": lambda: fd.alpha_dropout(X, 0.3, rng=7)[1],
    "GaussianNoise": lambda: fd.GaussianNoise((6, 10), 0.3, seed=8, stream=9),
    "GaussianNoise, a window": lambda: fd.GaussianNoise((6, 10), 0.3, seed=8)[1:, ::-3],
    "MaskGenerator": mask_generator,
    "LinearSchedule": lambda: fd.LinearSchedule(0.1, 0.5, steps=10),
    "CurriculumSchedule": lambda: fd.CurriculumSchedule(0.5, rate=0.125),
    "Scheduler": scheduler,
    "MonteCarlo": monte_carlo,
    "SavedBiasDropoutAdd": lambda: fd.bias_dropout_add(X, VECTOR, p=0.3, rng=1, activation="silu")[1],
    "SavedLayerNorm": lambda: fd.dropout_add_layer_norm(X, X, VECTOR, p=0.3, rng=2)[1],
    "SavedRMSNorm": lambda: fd.dropout_add_rms_norm(X, X, VECTOR, p=0.3, rng=3)[1],
    "SavedSoftmaxDropout": lambda: fd.softmax_dropout(X, 0.3, rng=4)[1],
    "SavedAttention": lambda: fd.attention(EYE, EYE, EYE, 0.3, rng=5)[1],
}
LISTED = ("Dropout", "DropBlock2d", "LayerNorm")
BACKWARD = {
    "SavedBiasDropoutAdd": fd.bias_dropout_add_backward,
    "SavedLayerNorm": fd.dropout_add_layer_norm_backward,
    "SavedRMSNorm": fd.dropout_add_rms_norm_backward,
    "SavedSoftmaxDropout": fd.softmax_dropout_backward,
    "SavedAttention": lambda dy, saved: fd.attention_backward(EYE, saved),
    "Mask of alpha_dropout": fd.alpha_dropout_backward,
}


# --- What follows ---------------------------------------------------------------------------------------


def hashes(*results):
    """No zero has a sign here: that of a product of matrices is the BLAS's."""
    return [digest(array + array.dtype.type(0)) for array in arrays_of(results)]


def after(name, thing):
    """What an object does from now on, as hashes and numbers for JSON."""
    if name in BACKWARD:
        return hashes(BACKWARD[name](X, thing))
    return next(follow(name, thing) for kind, follow in AFTER.items() if isinstance(thing, kind))


def after_layer(name, layer):
    """First the backward pass that waits, then two steps."""
    _, x = LAYERS[name]
    found = hashes(layer.backward(x))
    for _ in range(2):
        found += hashes(layer(*inputs_of(name)), layer.backward(x))
        found += hashes(*getattr(layer, "gradients", {}).values())
    return found


def after_drawn(name, drawn):
    return hashes(drawn.to_numpy(), drawn.apply(values(drawn.shape, np.float32)))


def after_monte_carlo(name, result):
    arrays = result.mean, result.std, result.entropy, result.mutual_information
    return hashes(*arrays) + following_masks(result.generator(1))


def after_scheduler(name, scheduler):
    scheduler.step()
    return [scheduler.step_number, *(layer.p for layer in scheduler.layers)]


AFTER = {
    fd.Layer: after_layer,
    fd.LayerList: lambda name, layers: list(map(after_layer, LISTED, layers)),
    (fd.Mask, fd.GaussianNoise): after_drawn,
    fd.MaskGenerator: lambda name, masks: following_masks(masks),
    (fd.LinearSchedule, fd.CurriculumSchedule): lambda name, p: [p(step) for step in (0, 3, 10, 1000)],
    fd.Scheduler: after_scheduler,
    fd.MonteCarlo: after_monte_carlo,
}
