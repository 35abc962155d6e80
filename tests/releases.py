# SPDX-License-Identifier: BSD-3-Clause
"""What a release keeps for ever: `python tests/releases.py` writes it, once, when the release is installed.

It goes to ``tests/data/releases/<version>/``, and `test_releases.py` compares every such folder with the
package of today. A folder has these files:

- ``results.json``: for every public function and dtype the SHA-256 of each array that it gives;
- ``keys.json``: which key comes of which seed, and of which parent;
- ``masks.json``: bits of masks by generator, stream, index and p;
- ``objects.json``: pickles, and what each object does from then on;
- ``state.*``: the state of all layers, a generator and a scheduler, in every store that docstrings name;
- ``following.json``: what comes after such a state.
"""

import base64
import io
import itertools
import json
import pickle
from pathlib import Path

import numpy as np

import fastdrop as fd
from old_states import following_masks
from release_objects import (
    LAYERS,
    OBJECTS,
    after,
    after_layer,
    inputs_of,
    layer_list,
    mask_generator,
    scheduler,
)
from release_results import DTYPES, RESULTS, hashes
from saved_stores import KINDS

FOLDER = Path(__file__).parent / "data" / "releases"

# --- Keys and masks -------------------------------------------------------------------------------------

SEEDS = {
    "0": lambda: 0,
    "2**64 + 5": lambda: 2**64 + 5,
    "[1, 2, 3]": lambda: [1, 2, 3],
    "SeedSequence(7, spawn_key=(2,))": lambda: np.random.SeedSequence(7, spawn_key=(2,)),
    "PCG64(3)": lambda: np.random.PCG64(3),
    "Generator(Philox(4))": lambda: np.random.Generator(np.random.Philox(4)),
}
# Where counters carry: at 2^32 blocks of 8, where the sequence of ARS ends, and at the last index.
STARTS = [0, 2**35 - 60, 2**43 - 60, 2**62 + 3, 2**63 - 1 - 128]
GENERATORS = ["ars4x32-7", "philox4x32-10"]
STREAMS = [0, 2**40 + 1, 2**63 - 1]
RATES = [{"p": 0.5}, {"p": 0.1}, {"p": 2.0**-16 / 3}, {"keep_prob": 0.1}, {"keep_prob": 2.0**-17}]


def keys():
    rows = {name: fd.Mask(1, seed=seed()).key for name, seed in SEEDS.items()}
    child = fd.MaskGenerator(0)
    for name in ("0, child 0", "0, child 0, child 2"):
        child = child.spawn(int(name[-1]) + 1)[-1]
        rows[name] = child.key
    return {name: list(map(int, key)) for name, key in rows.items()}


def mask_bits(start, **numbers):
    return np.packbits(fd.Mask(start + 128, seed=9, **numbers)[start:].to_numpy()).tobytes().hex()


def masks():
    """A list of the arguments of `mask_bits` and of what it gives."""
    rows = []
    for generator, stream, start, rate in itertools.product(GENERATORS, STREAMS, STARTS, RATES):
        numbers = {"start": start, "generator": generator, "stream": stream, **rate}
        rows.append([numbers, mask_bits(**numbers)])
    return rows


# --- Objects and states ---------------------------------------------------------------------------------


def objects():
    rows = {}
    for name, make in OBJECTS.items():
        saved = pickle.dumps(make(), protocol=4)  # the one that every supported version of Python writes
        rows[name] = {"pickle": base64.b64encode(saved).decode(), "after": after(name, pickle.loads(saved))}
    return rows


class Program:
    """What has a state: every layer, a generator and a scheduler, as a training program has them."""

    def __init__(self):
        self.layers, self.masks, self.scheduler = layer_list(), mask_generator(), scheduler()
        for layer, (_, x) in zip(self.layers, LAYERS.values(), strict=True):
            layer.backward(x)  # a state holds no pass that waits

    def state(self):
        layers, scheduler = self.layers.state_dict(), self.scheduler.state_dict()
        return {"layers": layers, "masks": self.masks.state, "scheduler": scheduler}

    def load(self, state):
        state = state.item() if isinstance(state, np.ndarray) else state  # an npy file holds an array
        self.layers.load_state_dict(state["layers"])
        self.masks.state = state["masks"]
        self.scheduler.load_state_dict(state["scheduler"])

    def forget(self):
        """Have other numbers in everything that a state holds."""
        for layer in self.layers:
            layer.rng = 99
            if np.any(layer.p):  # a plain norm has none
                layer.p = 0.9
            for parameter in getattr(layer, "parameters", {}).values():
                parameter[...] = 9
        self.masks = fd.MaskGenerator(99)
        self.scheduler.step()

    def following(self):
        layers = {}
        for name, layer in zip(LAYERS, self.layers, strict=True):
            layer(*inputs_of(name))
            layers[name] = after_layer(name, layer)
        return {
            "layers": layers,
            "masks": following_masks(self.masks),
            "scheduler": self.scheduler.layers[0].p,
        }


# --- Files ----------------------------------------------------------------------------------------------


def write_json(path, rows):
    """With a line for each row."""
    if isinstance(rows, dict):
        lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
    else:
        lines = list(map(json.dumps, rows))
    first, last = "{}" if isinstance(rows, dict) else "[]"
    path.write_text(f"{first}\n" + ",\n".join(lines) + f"\n{last}\n")


def write(folder):
    program = Program()
    rows = {
        "results": {name: {dtype: hashes(name, dtype) for dtype in DTYPES} for name in RESULTS},
        "keys": keys(),
        "masks": masks(),
        "objects": objects(),
    }
    folder.mkdir(parents=True)  # refuses one that is there
    for kind in KINDS.values():
        file = io.BytesIO()
        kind.save(program.state(), file)
        (folder / f"state.{kind.ending}").write_bytes(file.getvalue())
    rows["following"] = program.following()
    for name, values in rows.items():
        write_json(folder / f"{name}.json", values)


if __name__ == "__main__":
    write(FOLDER / fd.__version__)
