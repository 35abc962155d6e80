# SPDX-License-Identifier: BSD-3-Clause
"""Train a NumPy MLP with dropout on several processes: its loss has the same bits for any number of them.

    mpiexec -n 4 python -m mpi4py examples/train_mpi.py    # or -n 1, or without mpiexec: the same digests

`-m mpi4py` ends all processes if one of them fails. Without it the others would wait for it for ever.

Each process has some micro-batches of every batch. Three things make the number of processes invisible:

- The masks of a process are windows of the masks of the whole batch. No process sends a mask.
- A gradient is computed for one micro-batch of 8 images at a time, whoever computes it. BLAS adds in an order
  that depends on the shape of its matrices.
- The gradients are added in pairs, in a binary tree over the micro-batches that is always the same.

This holds on one computer. Another processor, or another BLAS, may round its products differently.
"""

import hashlib
import time
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from mpi4py import MPI
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import fastdrop
import fastdrop.mpi
from lib.mlp import MLP, Adam, softmax_cross_entropy
from lib.options import add_plot, make_parser, whole_number
from lib.regularized import CLASS_COUNT, Task, evaluate, make_parts

MICRO_BATCHES = 8  # of a batch: so many processes can have work
MICRO_SIZE = 8  # images of a micro-batch
TASK = Task("digits", train_count=1024, validation_count=0, hidden_size=256, epochs=40, wrong_labels=0.2)
RATES = 0.1, 0.5, 0.5  # on the input and on the two hidden layers
ROWS_SHOWN = 10  # of the table


class Epoch(NamedTuple):
    """What is known after an epoch."""

    train_loss: float  # mean over its batches, with dropout
    test_accuracy: float
    test_loss: float


class WindowDropout:
    """A dropout layer whose masks come from outside: windows of the masks of a whole batch."""

    def __init__(self):
        """Begin without dropout."""
        self.mask = None

    def train(self, mode=True):
        """Forget the mask: there is no dropout until the next one is given."""
        self.mask = None

    def forward(self, x, *, out=None):
        """Drop and scale."""
        return x if self.mask is None else self.mask.apply(x, out=out)

    backward = forward


class Trainer:
    """One process: the whole model, and its share of every batch."""

    def __init__(self, comm, part, weight_seed, mask_seed):
        """Take the communicator and the training images, which are the same in every process."""
        self.comm, self.part = comm, part
        self.widths = part.x.shape[1], TASK.hidden_size, TASK.hidden_size
        layers = [WindowDropout() for _ in self.widths]
        self.model = MLP((*self.widths, CLASS_COUNT), layers, np.random.default_rng(weight_seed))
        self.optimizer = Adam(self.model.parameters, self.model.gradients)
        self.masks = fastdrop.MaskGenerator(mask_seed).spawn(len(layers))
        own = range(MICRO_BATCHES)[fastdrop.mpi.rank_slice(MICRO_BATCHES, comm)]
        self.first = own.start
        self.owners = [rank for rank, theirs in enumerate(comm.allgather(own)) for _ in theirs]

    def train_epoch(self, order):
        """Pass over the training images once; return the mean loss."""
        batches = order.reshape(-1, MICRO_BATCHES, MICRO_SIZE)
        losses = [self.step(batch) for batch in batches]
        return float(np.mean(losses))

    def step(self, batch):
        """Train on one batch, given as the rows of its micro-batches; return its mean loss."""
        shapes = [(MICRO_BATCHES, MICRO_SIZE, width) for width in self.widths]
        whole = [masks.mask(shape, p) for masks, shape, p in zip(self.masks, shapes, RATES, strict=True)]
        windows = [fastdrop.mpi.row_window(mask, self.comm) for mask in whole]

        def loss_and_gradients(number):
            for layer, window in zip(self.model.dropouts, windows, strict=True):
                layer.mask = window[number - self.first]
            rows = batch[number]
            logits = self.model.forward(self.part.x[rows])
            loss, gradient = softmax_cross_entropy(logits, self.part.labels[rows])
            self.model.backward(gradient)
            return np.append(self.model.gradients, np.float32(loss))

        total = tree_sum(loss_and_gradients, self.owners, self.comm)
        total /= MICRO_BATCHES  # a power of two, which divides without rounding
        self.model.gradients[:] = total[:-1]
        self.optimizer.step()
        return total[-1]


def tree_sum(leaf, owners, comm):
    """Return ``leaf(0) + leaf(1) + ...`` in every process, added in a binary tree that is always the same.

    Process ``owners[i]`` computes leaf i. A node belongs to the process of its first leaf, so two nodes of
    different processes are added after one message. All processes walk through the tree in the same order:
    no two of them wait for each other.
    """

    def node(first, last):
        if last - first == 1:
            return leaf(first) if owners[first] == comm.rank else None
        middle = (first + last) // 2
        left, right = node(first, middle), node(middle, last)
        here, there = owners[first], owners[middle]
        if here != there and comm.rank == here:
            right = comm.recv(source=there)
        elif here != there and comm.rank == there:
            comm.send(right, dest=here)
        return left + right if comm.rank == here else None

    return comm.bcast(node(0, len(owners)), root=owners[0])


def train(trainer, test, epochs, rng):
    """Train, and return what process 0 knows after every epoch; the others know the loss alone."""
    history = []
    silent = None if trainer.comm.rank == 0 else True  # None: a bar on a terminal only
    for _ in tqdm(range(epochs), desc=TASK.name, unit="epoch", disable=silent):
        loss = trainer.train_epoch(rng.permutation(TASK.train_count))
        history.append(Epoch(loss, *(evaluate(trainer.model, test) if trainer.comm.rank == 0 else (0, 0))))
    return history


def count(processes):
    """Say how many processes."""
    return "1 process" if processes == 1 else f"{processes} processes"


def digest(array):
    """The first 16 digits of the SHA-256 of an array's bytes."""
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def print_header(processes, pixel_count, test_count, options):
    """Say what is about to be trained, and by whom."""
    sizes = f"{pixel_count}-{TASK.hidden_size}-{TASK.hidden_size}-{CLASS_COUNT}"
    print(f"{TASK.name}: {TASK.train_count:,} training images and {test_count:,} test images.")
    share = f"{TASK.wrong_labels:.0%}"
    print(f"Labels: {share} of the training labels were CORRUPTED on purpose (test labels are clean).")
    print(f"Network: {sizes}, ReLU, float32; Adam, {options.epochs} epochs, seed {options.seed}.")
    print(f"Batches: {MICRO_BATCHES} micro-batches of {MICRO_SIZE} images, shared out to {count(processes)}.")
    print(f"Dropout: p = {RATES[0]} on the input, {RATES[1]} on hidden layers.\n")


def print_table(history):
    """Print loss and accuracy over the epochs, and the bits of the loss."""
    print("epoch   train loss          its bits    test acc.   test loss")
    shown = sorted(set(np.linspace(1, len(history), min(ROWS_SHOWN, len(history)), dtype=int).tolist()))
    for number in shown:
        epoch = history[number - 1]
        print(f"{number:5}  {epoch.train_loss:11.6f}  {epoch.train_loss.hex():>20}", end="  ")
        print(f"{epoch.test_accuracy:7.3f}  {epoch.test_loss:10.4f}")


def draw(history, processes, path):
    """Loss and accuracy over the epochs, as a picture."""
    figure = Figure(figsize=(10, 5), layout="constrained")  # no pyplot: needs no display and no backend
    figure.suptitle(f"NumPy MLP on {TASK.name}, {TASK.wrong_labels:.0%} wrong labels, {count(processes)}")
    left, right = figure.subplots(1, 2)
    train_loss, test_accuracy, test_loss = np.array(history).T
    epochs = np.arange(1, len(history) + 1)
    left.plot(epochs, train_loss, color="tab:blue", label="train, with dropout and the wrong labels")
    left.plot(epochs, test_loss, color="tab:red", label="test, without dropout")
    left.set(xlabel="epoch", ylabel="cross-entropy", title="Loss")
    left.legend(fontsize="small")
    right.plot(epochs, test_accuracy, color="tab:red")
    right.set(xlabel="epoch", ylabel="accuracy (fraction correct)", title="Test accuracy")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def read_options(comm):
    """Read and check the options in process 0, so that a wrong one is one line; the others are told."""
    options = None
    try:
        if comm.rank == 0:
            parser = make_parser(__doc__)
            help_ = "default: %(default)s"
            parser.add_argument("--epochs", type=whole_number(1), default=TASK.epochs, help=help_)
            parser.add_argument("--seed", type=whole_number(0), default=0)
            add_plot(parser, "train_mpi.png")
            options = parser.parse_args()
    finally:
        options = comm.bcast(options)
    if options is None:  # process 0 has said why
        raise SystemExit
    return options


def main():
    """Read the options, train, report."""
    comm = MPI.COMM_WORLD
    options = read_options(comm)
    data_seed, weight_seed, order_seed, mask_seed = np.random.SeedSequence(options.seed).spawn(4)
    part, _, test = make_parts(TASK, data_seed)
    trainer = Trainer(comm, part, weight_seed, mask_seed)
    if comm.rank == 0:
        print_header(comm.size, part.x.shape[1], len(test.x), options)
    start = time.perf_counter()
    with threadpool_limits(1):  # a process is one thread here
        history = train(trainer, test, options.epochs, np.random.default_rng(order_seed))
    seconds = time.perf_counter() - start
    if comm.rank == 0:
        print_table(history)
        losses = np.array([epoch.train_loss for epoch in history])
        print(f"\nDigest of all training losses: {digest(losses)}")
        print(f"Digest of the final weights:   {digest(trainer.model.parameters)}")
        print("They are the same for any number of processes on this computer.")
        print(f"\nTime: {seconds:.1f} s.")
        draw(history, comm.size, options.plot)
        print(f"\nPicture: {options.plot}")


if __name__ == "__main__":
    main()
