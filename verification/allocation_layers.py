# SPDX-License-Identifier: BSD-3-Clause
"""Generators, layers and what trains them, as calls whose memory may be refused."""

import copy
import pickle

import numpy as np

import fastdrop as fd
from verification.allocation_trials import IMAGES, SMALL, Trial, generator, normal


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


def seeded(layer):
    """A layer that draws nothing, whose state holds a key nonetheless."""
    layer.rng = 1
    return layer


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
    "LayerNorm": (lambda: seeded(fd.LayerNorm(8)), SMALL),
    "RMSNorm": (lambda: seeded(fd.RMSNorm(8)), SMALL),
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
    return fd.LayerList(
        [fd.Dropout(0.25, rng=masks), fd.DropPath(0.5, rng=masks), fd.BiasDropoutAdd(8, rng=2)]
    )


def list_loads():
    layers, other = two_layers(), two_layers()
    for layer in other:
        layer(normal(SMALL))
        layer.p = 0.75
    state = other.eval().state_dict()

    def load():
        layers.load_state_dict(state)
        return layers.state_dict()

    return Trial(load)  # some layers may have been restored, as load_state_dict() says


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


def layer_cases():
    """The cases by name."""
    small = {}
    for name, call in GENERATORS.items():
        small[f"generator: {name}"] = lambda call=call: generator_call(call)
    for name, (make, shape) in LAYERS.items():
        for what in (layer_made, layer_forward, layer_backward, layer_state, layer_copies):
            small[f"{name}: {what.__name__}"] = lambda what=what, a=(make, shape): what(*a)
    for what in (list_loads, list_switches, scheduler_steps, scheduler_loads, monte_carlo, settings):
        small[what.__name__] = what
    return small
