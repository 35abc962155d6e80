# SPDX-License-Identifier: BSD-3-Clause
"""One training run with any of the regularizers: dropout, L2 or weight decay, batch norm, early stopping.

Early stopping needs no run of its own: every run keeps two sets of parameters, those of the last epoch and
those of the epoch that is best on the validation set.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

import fastdrop
from lib.images import load_images
from lib.mlp import MLP, Adam, softmax_cross_entropy

BATCH_SIZE = 50
CLASS_COUNT = 10


class Setting(NamedTuple):
    """The regularizers of a run and their strengths."""

    input_p: float = 0.0
    hidden_p: float = 0.0
    l2: float = 0.0  # adds l2 / 2 * sum(weight**2) to the loss
    decay: float = 0.0  # decoupled: each step also takes learning_rate * decay * weight away
    batch_norm: bool = False


@dataclass(frozen=True)
class Task:
    """A data set, how much of it is trained and validated on (the rest is the test set), and the network."""

    name: str
    train_count: int
    validation_count: int
    hidden_size: int
    epochs: int
    wrong_labels: float = 0.0  # fraction of the training and validation labels replaced by others


class Part(NamedTuple):
    """Images and labels."""

    x: np.ndarray
    labels: np.ndarray


@dataclass
class Checkpoint:
    """A network after some epoch, and its score on the validation set, by which choices are made."""

    score: tuple = (-1.0, 0.0)  # validation accuracy, then minus the loss
    parameters: np.ndarray = field(default=None, repr=False)
    statistics: np.ndarray = field(default=None, repr=False)


def make_parts(task, seed):
    """Split the data set at random into training, validation and test part."""
    x, labels = load_images(task.name)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    x, labels = x[order], labels[order]  # copies
    end = task.train_count + task.validation_count
    wrong = rng.random(end) < task.wrong_labels
    # An offset of 1 to 9 modulo 10 never leads back to the true label.
    offsets = rng.integers(1, CLASS_COUNT, end)
    labels[:end] = np.where(wrong, (labels[:end] + offsets) % CLASS_COUNT, labels[:end])
    parts = zip(np.split(x, [task.train_count, end]), np.split(labels, [task.train_count, end]), strict=True)
    return [Part(*part) for part in parts]


def make_model(task, setting, weight_seed, mask_seed, dtype=np.float32):
    """Build the network; settings differ only where `setting` says so."""
    rates = setting.input_p, setting.hidden_p, setting.hidden_p
    generators = fastdrop.MaskGenerator(mask_seed).spawn(len(rates))
    dropouts = [fastdrop.Dropout(p, rng=rng) for p, rng in zip(rates, generators, strict=True)]
    pixel_count = load_images(task.name)[0].shape[1]
    sizes = pixel_count, task.hidden_size, task.hidden_size, CLASS_COUNT
    rng = np.random.default_rng(weight_seed)
    return MLP(sizes, dropouts, rng, batch_norm=setting.batch_norm, dtype=dtype)


def loss_and_gradients(model, setting, x, labels):
    """Return the loss that is minimised, L2 included, and fill ``model.gradients``."""
    loss, gradient = softmax_cross_entropy(model.forward(x), labels)
    model.backward(gradient)
    if setting.l2:
        for linear in model.linears:  # weights only: biases and batch norm's parameters stay free
            loss += setting.l2 / 2 * float(np.sum(np.square(linear.weight)))
            linear.weight_gradient += setting.l2 * linear.weight
    return loss


def evaluate(model, part):
    """Return accuracy and loss with dropout off and batch norm's running statistics."""
    model.train(False)
    logits = model.forward(part.x)
    loss, _ = softmax_cross_entropy(logits, part.labels)
    return float(np.mean(logits.argmax(axis=1) == part.labels)), loss


def train(task, setting, seed):
    """Train one network; return its checkpoints after the last and after the best epoch.

    The same seed gives every setting the same split, first weights, batches and masks of the same rate.
    """
    data_seed, weight_seed, order_seed, mask_seed = np.random.SeedSequence(seed).spawn(4)
    train_part, validation, _ = make_parts(task, data_seed)
    model = make_model(task, setting, weight_seed, mask_seed)
    optimizer = Adam(model.parameters, model.gradients)
    rng = np.random.default_rng(order_seed)
    best = last = Checkpoint()
    for _ in range(task.epochs):
        model.train()
        for batch in rng.permutation(task.train_count).reshape(-1, BATCH_SIZE):
            loss_and_gradients(model, setting, train_part.x[batch], train_part.labels[batch])
            optimizer.step()
            if setting.decay:  # Loshchilov and Hutter, "Decoupled weight decay regularization" (2019)
                for linear in model.linears:
                    linear.weight *= 1 - optimizer.learning_rate * setting.decay
        accuracy, loss = evaluate(model, validation)
        last = Checkpoint((accuracy, -loss), model.parameters.copy(), model.statistics.copy())
        best = max(best, last, key=lambda checkpoint: checkpoint.score)
    return {"last": last, "best": best}


def accuracy_on_test(task, setting, checkpoint, seed):
    """Return the accuracy of a checkpoint on the test part."""
    data_seed, weight_seed, _, mask_seed = np.random.SeedSequence(seed).spawn(4)
    model = make_model(task, setting, weight_seed, mask_seed)
    model.parameters[:], model.statistics[:] = checkpoint.parameters, checkpoint.statistics
    return evaluate(model, make_parts(task, data_seed)[2])[0]
