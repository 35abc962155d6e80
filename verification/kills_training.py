# SPDX-License-Identifier: BSD-3-Clause
"""The training that ``verification.kills`` kills: a NumPy network with layers of fastdrop.

    python -m verification.kills_training FOLDER STEPS

A process that finds a checkpoint in the folder goes on from there. It prints the step with which it began.
"""

import sys

import numpy as np

import fastdrop as fd
from verification.kills_checkpoint import Checkpoint

BATCH, FEATURES, HIDDEN, CLASSES = 256, 64, 128, 5  # a step takes about as long as a save


class Network:
    """Layers that draw from a shared generator or from their own, and layers with parameters."""

    def __init__(self):
        masks = fd.MaskGenerator(1)
        self.drop, self.path = fd.Dropout(0.2, rng=masks), fd.DropPath(0.1, rng=masks)
        self.noise = fd.GaussianDropout(0.1, rng=2)
        self.bias = fd.BiasDropoutAdd(HIDDEN, np.linspace(0, 0.5, HIDDEN), activation="gelu", rng=3)
        self.norm = fd.DropoutAddLayerNorm(HIDDEN, 0.3, rng=4)
        self.layers = fd.LayerList([self.drop, self.path, self.noise, self.bias, self.norm])
        self.scheduler = fd.Scheduler([self.drop], fd.LinearSchedule(0.1, 0.5, 20))
        rng = np.random.default_rng(0)
        shapes = {"first": (FEATURES, HIDDEN), "second": (HIDDEN, HIDDEN), "last": (HIDDEN, CLASSES)}
        self.weights = {name: rng.standard_normal(s, np.float32) / 5 for name, s in shapes.items()}
        parameters = {**self.weights, **self.bias.parameters}
        self.momentum = {name: np.zeros_like(array) for name, array in parameters.items()}

    def step(self, x, labels):
        """One step of gradient descent with momentum."""
        weights = self.weights
        dropped = self.drop(x)
        hidden = self.bias(dropped @ weights["first"])
        noisy = self.noise(hidden)
        normed = self.norm(self.path(noisy @ weights["second"]), hidden)
        probability = fd.softmax(normed @ weights["last"])
        probability[np.arange(len(labels)), labels] -= 1
        probability /= np.float32(len(labels))

        gradients = {"last": normed.T @ probability}
        dsum, dresidual = self.norm.backward(probability @ weights["last"].T)
        dproduct = self.path.backward(dsum)
        gradients["second"] = noisy.T @ dproduct
        dhidden = self.noise.backward(dproduct @ weights["second"].T) + dresidual
        gradients["first"] = dropped.T @ self.bias.backward(dhidden)
        self.drop.backward(dropped)
        gradients.update(self.bias.gradients)
        for name, array in {**weights, **self.bias.parameters}.items():
            self.momentum[name] *= np.float32(0.9)
            self.momentum[name] += gradients[name]
            array -= np.float32(0.05) * self.momentum[name]
        self.scheduler.step()

    def saved(self):
        """What a checkpoint holds. The layers' states have their parameters."""
        weights = {f"weight {name}": array for name, array in self.weights.items()}
        momentum = {f"momentum {name}": array for name, array in self.momentum.items()}
        states = {"layers": plain(self.layers.state_dict()), "scheduler": self.scheduler.state_dict()}
        return {**weights, **momentum}, states

    def load(self, arrays, state):
        """Go on from what `saved` returned."""
        for name, array in self.weights.items():
            array[...] = arrays[f"weight {name}"]
        for name, array in self.momentum.items():
            array[...] = arrays[f"momentum {name}"]
        self.scheduler.load_state_dict(state["scheduler"])
        self.layers.load_state_dict(state["layers"])


def plain(state):
    """A state for JSON: its arrays become lists, whose numbers come back with the same bits."""
    if isinstance(state, dict):
        return {name: plain(entry) for name, entry in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def main():
    folder, steps = sys.argv[1], int(sys.argv[2])
    checkpoint, network, order = Checkpoint(folder), Network(), np.random.default_rng(9)
    checkpoint.begin()
    data = np.random.default_rng(8).standard_normal((2000, FEATURES), np.float32)
    labels = np.random.default_rng(7).integers(CLASSES, size=2000)
    first = 0
    if (saved := checkpoint.load()) is not None:
        arrays, state = saved
        network.load(arrays, state)
        order.bit_generator.state, first = state["order"], state["steps"]
    print(first, flush=True)
    for number in range(first, steps):
        checkpoint.step(number)
        rows = order.integers(2000, size=BATCH)
        network.step(data[rows], labels[rows])
        arrays, state = network.saved()
        checkpoint.save(arrays, {**state, "order": order.bit_generator.state, "steps": number + 1})
    checkpoint.done()


if __name__ == "__main__":
    main()
