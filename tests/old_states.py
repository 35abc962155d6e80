# SPDX-License-Identifier: BSD-3-Clause
"""Layers and generators whose saved states must load for ever, and what must follow from a state.

``state-3315941.json`` was written by this file when commit 3315941 was installed:
``python tests/old_states.py > tests/data/state-3315941.json``. ``test_old_state.py`` reads it.
"""

import hashlib
import json
import sys

import numpy as np

import fastdrop

# Name of the class, its options, the shape of its input, the seed, and how many steps came before.
LAYERS = [
    ("Dropout", {"p": 0.5}, [6, 10], 0, 0),
    ("Dropout", {"p": 0.3, "noise_shape": [None, 1], "inverted": False}, [6, 10], 1, 3),
    ("Dropout", {"keep_prob": 0.75}, [70], 2**64 + 5, 2),
    ("Dropout", {"p": [0.0, 0.25, 0.5, 1.0]}, [9, 4], [1, 2, 3], 4),
    ("Dropout1d", {"p": 0.4}, [3, 40, 5], 2, 1),
    ("Dropout1d", {"p": 0.4, "batched": False, "channel_axis": -1}, [5, 40], 3, 1),
    ("Dropout2d", {"p": 0.4, "channel_axis": -1, "inverted": False}, [3, 4, 5, 12], 4, 5),
    ("Dropout2d", {"p": [[[0.1]], [[0.9]]]}, [30, 2, 3, 3], 5, 1),
    ("Dropout3d", {"p": 0.6}, [2, 20, 2, 3, 2], 6, 2),
    ("LockedDropout", {"p": 0.5, "time_axis": 1}, [4, 3, 12], 7, 2),
    ("DropPath", {"p": 0.2, "inverted": False}, [50, 2, 3], 8, 3),
    ("DropPath", {"p": 0.2, "sample_axis": -1}, [2, 50], 9, 1),
    ("EmbeddingDropout", {"p": 0.1}, [80, 3], 10, 2),
    ("DropConnect", {"p": 0.7}, [8, 9], 11, 2),
    ("DropConnect", {"keep_prob": 0.25, "row_axis": 0}, [40, 3], 12, 2),
    ("DropBlock1d", {"p": 0.3, "block_size": 3}, [2, 3, 20], 13, 2),
    ("DropBlock2d", {"keep_prob": 0.8, "block_size": 2, "batched": False}, [3, 9, 8], 14, 1),
    ("AlphaDropout", {"p": 0.1}, [60], 15, 2),
    ("FeatureAlphaDropout", {"p": 0.4, "channel_axis": -1}, [5, 3, 8], 16, 2),
    ("GaussianDropout", {"p": 0.3}, [60], 17, 3),
]
# Seed, name of the generator, masks taken, and children made before the state was saved.
GENERATORS = [
    (0, "ars4x32-7", 0, 0),
    (12345678901234567890, "philox4x32-10", 3, 0),
    ([4, 5], "ars4x32-7", 2, 3),
    (2**130, "philox4x32-10", 0, 1),
]


def arguments(options):
    """Options from JSON as a layer takes them."""
    return {name: np.array(o) if name == "p" and isinstance(o, list) else o for name, o in options.items()}


def values(shape):
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def following_results(layer, shape):
    """What the next three steps, of both passes, give."""
    x = values(shape)
    return [[digest(layer(x)), digest(layer.backward(x))] for _ in range(3)]


def following_masks(masks):
    """The bits of the next masks, then the key of the next child and the bits of its first mask."""
    bits = [masks.mask((7, 9), 0.3).to_bits().tobytes().hex() for _ in range(2)]
    (child,) = masks.spawn(1)
    return [*bits, list(child.key), child.mask((7, 9), 0.3).to_bits().tobytes().hex()]


def layer_row(name, options, shape, seed, steps):
    layer = getattr(fastdrop, name)(**arguments(options), rng=seed)
    for _ in range(steps):
        layer.backward(layer(values(shape)))
    state = layer.state_dict()
    row = {"layer": name, "options": options, "shape": shape, "state": state}
    return {**row, "following": following_results(layer, shape)}


def generator_row(masks):
    state = masks.state
    return {"state": state, "following": following_masks(masks)}


def all_rows():
    layers = [layer_row(*case) for case in LAYERS]
    evaluating = fastdrop.Dropout(0.4, rng=18).eval()
    state = evaluating.state_dict()
    row = {"layer": "Dropout", "options": {}, "shape": [20], "state": state}
    layers.append({**row, "following": following_results(evaluating, [20])})
    generators = []
    for seed, name, taken, children in GENERATORS:
        masks = fastdrop.MaskGenerator(seed, generator=name)
        for _ in range(taken):
            masks.mask(3)
        spawned = masks.spawn(children)
        generators += [generator_row(child) for child in spawned[:1]]
        generators.append(generator_row(masks))
    schedule = fastdrop.LinearSchedule(0.0, 0.5, steps=10)
    scheduler = fastdrop.Scheduler([fastdrop.Dropout(rng=0)], schedule)
    for _ in range(7):
        scheduler.step()
    scheduler_row = {"state": scheduler.state_dict(), "p": scheduler.layers[0].p}
    return {"layers": layers, "generators": generators, "schedulers": [scheduler_row]}


def write(rows, file):
    """As JSON with a line for each row."""
    groups = (f'"{name}": [\n' + ",\n".join(map(json.dumps, each)) + "\n]" for name, each in rows.items())
    file.write("{" + ",\n".join(groups) + "}\n")


if __name__ == "__main__":
    write(all_rows(), sys.stdout)
