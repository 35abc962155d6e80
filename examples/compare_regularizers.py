# SPDX-License-Identifier: BSD-3-Clause
"""Measure dropout against and together with L2, weight decay, early stopping and batch norm, on real data.

    python examples/compare_regularizers.py                      # two data sets, about two minutes
    python examples/compare_regularizers.py --wrong-labels 0.2   # the same with wrong training labels

Every combination of the methods is trained, with few training images: {none, L2, weight decay} x {without,
with batch norm} x {last epoch, best epoch} x {without, with dropout}. How the comparison is kept fair:

- A seed means one split into training, validation and test images, one set of first weights and one order
  of batches, the same for every combination: differences are taken within a seed.
- The strengths are chosen for each combination and seed by accuracy on the validation images (by loss
  where accuracies are equal). The grid below has every combination of strengths. Early stopping takes the
  epoch that is best on the validation images. The test images are read after all these choices.
- Learning rate, network and number of epochs are the same for all.
"""

import itertools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from lib.options import add_plot, make_parser, whole_number
from lib.regularized import BATCH_SIZE, Setting, Task, accuracy_on_test, train

TASKS = {
    "digits": Task("digits", train_count=200, validation_count=200, hidden_size=128, epochs=150),
    "mnist": Task("mnist", train_count=1000, validation_count=500, hidden_size=128, epochs=30),
}
# The grids, and the numbers of epochs above, were set by the validation accuracy of seeds 100 to 105: the
# best strength of each method is not at an end of its grid, and twice the epochs gain no method a point.
RATES = [(0.0, 0.25), (0.1, 0.25), (0.2, 0.5)]  # p on the input, p on the hidden layers
PENALTIES = {
    "none": [{}],
    "L2": [{"l2": strength} for strength in (1e-4, 1e-3, 1e-2)],
    "weight decay": [{"decay": strength} for strength in (0.1, 1.0, 3.0)],
}


class Combination(NamedTuple):
    """Which methods are used; "penalty" is a key of `PENALTIES`."""

    penalty: str = "none"
    batch_norm: bool = False
    early_stopping: bool = False
    dropout: bool = False

    def settings(self):
        """The grid that the strengths are chosen from."""
        rates = RATES if self.dropout else [(0.0, 0.0)]
        grid = itertools.product(rates, PENALTIES[self.penalty])
        return [Setting(*both, batch_norm=self.batch_norm, **penalty) for both, penalty in grid]

    def label(self):
        """The methods besides dropout."""
        names = [self.penalty] if self.penalty != "none" else []
        names += ["batch norm"] * self.batch_norm + ["early stopping"] * self.early_stopping
        return " + ".join(names) or "nothing else"


COMBINATIONS = [Combination(*one) for one in itertools.product(PENALTIES, *[(False, True)] * 3)]


# Every setting is trained once, although most settings belong to several combinations.
SETTINGS = list(dict.fromkeys(setting for combination in COMBINATIONS for setting in combination.settings()))


class Result(NamedTuple):
    """The outcome of a combination with one seed."""

    accuracy: float  # on the test images, per cent
    setting: Setting  # the chosen one


def choose(combination, runs):
    """Return the setting and the checkpoint that did best on the validation images."""
    which = "best" if combination.early_stopping else "last"
    candidates = [(setting, runs[setting][which]) for setting in combination.settings()]
    return max(candidates, key=lambda candidate: candidate[1].score)  # the first one where scores are equal


def measure(task, seeds, pool, progress):
    """Train everything, choose, then test; return for every combination its results by seed."""
    jobs = [(setting, seed) for seed in seeds for setting in SETTINGS]
    trained = pool.map(train, itertools.repeat(task), *zip(*jobs, strict=True))
    choices = []
    for seed in seeds:
        runs = {}
        for setting in SETTINGS:
            runs[setting] = next(trained)
            progress.update()
        choices += [(combination, *choose(combination, runs), seed) for combination in COMBINATIONS]

    combinations, settings, checkpoints, choice_seeds = zip(*choices, strict=True)
    tested = pool.map(accuracy_on_test, itertools.repeat(task), settings, checkpoints, choice_seeds)
    results = {combination: [] for combination in COMBINATIONS}
    for combination, setting, accuracy in zip(combinations, settings, tested, strict=True):
        results[combination].append(Result(100 * accuracy, setting))
    return results


def accuracies(results, combination):
    """The test accuracies of a combination, one for each seed."""
    return np.array([result.accuracy for result in results[combination]])


def standard_error(differences):
    """The standard error of the mean over the seeds."""
    return differences.std(ddof=1) / np.sqrt(len(differences))


def print_header(task, seeds):
    """Say what was trained, and on what."""
    labels = "labels as they are"
    if task.wrong_labels:
        labels = f"{100 * task.wrong_labels:g} % of the labels of both are WRONG on purpose"
    print(f"\n{task.name}: {task.train_count:,} images to train on, {task.validation_count:,} to validate;")
    print(f"{labels}; the rest are to test.")
    print(f"Two hidden layers of {task.hidden_size}, ReLU, float32; Adam at 0.001, batches of {BATCH_SIZE},")
    print(f"{task.epochs} epochs; seeds {seeds[0]} to {seeds[-1]}.\n")


def print_table(results):
    """Print test accuracy without and with dropout for every combination of the other methods."""
    print(f"{'test accuracy in per cent,':42}  without      with          change by")
    print(f"{'mean and deviation over seeds':42}  dropout      dropout       dropout       better  p chosen")
    for plain in COMBINATIONS:
        if plain.dropout:
            continue
        dropped = plain._replace(dropout=True)
        without, with_ = accuracies(results, plain), accuracies(results, dropped)
        gain = with_ - without
        rates = [result.setting[:2] for result in results[dropped]]
        most = max(RATES, key=rates.count)
        print(f"{plain.label():42}  ", end="")
        for values in (without, with_):
            print(f"{values.mean():5.2f} {values.std(ddof=1):5.2f}  ", end="")
        print(f"{gain.mean():+6.2f} ± {standard_error(gain):4.2f}  ", end="")
        print(f"{np.sum(gain > 0):2d} of {len(gain)}  {most[0]:g} and {most[1]:g}")
    print()


def print_effects(results):
    """Print what each method changed, averaged over all combinations of the others."""
    print("Mean change by a method over all combinations of the others, points ± standard error over seeds:")
    changes = {
        "dropout": (Combination(), Combination(dropout=True)),
        "L2": (Combination(), Combination("L2")),
        "weight decay": (Combination(), Combination("weight decay")),
        "batch norm": (Combination(), Combination(batch_norm=True)),
        "early stopping": (Combination(), Combination(early_stopping=True)),
    }
    for name, (before, after) in changes.items():
        (field,) = (key for key in Combination._fields if getattr(before, key) != getattr(after, key))
        bases = [one for one in COMBINATIONS if getattr(one, field) == getattr(before, field)]
        differences = [
            accuracies(results, base._replace(**{field: getattr(after, field)})) - accuracies(results, base)
            for base in bases
        ]
        by_seed = np.mean(differences, axis=0)
        print(f"  {name:15} {by_seed.mean():+5.2f} ± {standard_error(by_seed):4.2f}")


def draw(measured, path):
    """Test accuracy of every combination, as a picture: each seed a dot, means with their deviations."""
    figure = Figure(figsize=(6.5 * len(measured), 6.5), layout="constrained")  # no pyplot: needs no display
    count = len(measured[0][1][COMBINATIONS[0]])
    figure.suptitle(f"Test accuracy without and with dropout, beside other methods, {count} seeds")
    all_axes = figure.subplots(1, len(measured), squeeze=False, sharey=True)[0]
    for axes, (task, results) in zip(all_axes, measured, strict=True):
        plain = [one for one in COMBINATIONS if not one.dropout]
        rows = np.arange(len(plain))
        for dropout, colour, shift in ((False, "tab:red", -0.15), (True, "tab:blue", 0.15)):
            values = np.array([accuracies(results, one._replace(dropout=dropout)) for one in plain])
            place = rows + shift
            name = "with dropout" if dropout else "without dropout"
            dots = axes.plot(values, place, ".", color=colour, alpha=0.3)
            dots[0].set_label(f"{name}: one seed")
            spread, label = (
                values.std(axis=1, ddof=1),
                f"{name}: mean, and a line of one standard deviation each way",
            )
            axes.errorbar(values.mean(axis=1), place, xerr=spread, fmt="o", color=colour, label=label)
        axes.set_yticks(rows, [one.label() for one in plain])
        note = f", {100 * task.wrong_labels:g} % wrong labels" if task.wrong_labels else ""
        axes.set_title(f"{task.name}, {task.train_count:,} training images{note}")
        axes.set_xlabel("test accuracy (per cent)")
        axes.grid(alpha=0.3)
    all_axes[0].invert_yaxis()  # the axes share it
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(measured))
    figure.savefig(path, dpi=120)


def read_options():
    """Read and check the options."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--data", choices=["both", *TASKS], default="both")
    add("--seeds", type=whole_number(2), default=5, metavar="COUNT", help="default: %(default)s")
    add("--seed", type=whole_number(0), default=0, help="the first of them; default: %(default)s")
    add("--wrong-labels", type=float, default=0.0, metavar="FRACTION", help="default: none")
    add("--jobs", type=whole_number(1), default=os.cpu_count(), help="processes; default: one a core")
    add("--quick", action="store_true", help="2 seeds and a tenth of the epochs: no result")
    add_plot(parser, "compare_regularizers.png")
    options = parser.parse_args()
    if not 0 <= options.wrong_labels <= 1:
        parser.error(f"--wrong-labels must be from 0 to 1, not {options.wrong_labels}")
    return options


def main():
    """Read the options, train, report."""
    options = read_options()
    names = list(TASKS) if options.data == "both" else [options.data]
    tasks = [replace(TASKS[name], wrong_labels=options.wrong_labels) for name in names]
    seeds = range(options.seed, options.seed + options.seeds)
    if options.quick:
        tasks = [replace(task, epochs=task.epochs // 10) for task in tasks]
        seeds = seeds[:2]
    print("Chosen on the validation images, for each combination and seed:")
    print(f"  p on input and hidden layers: {', '.join(f'{a:g} and {b:g}' for a, b in RATES)}")
    for name, grid in list(PENALTIES.items())[1:]:
        print(f"  {name}: {', '.join(f'{strength:g}' for one in grid for strength in one.values())}")

    # The NumPy of every new process reads this variable. With one thread, results do not depend on the number
    # of cores, and OpenBLAS's threads, which spin while they wait, do not slow each other down.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    bar = tqdm(total=len(SETTINGS) * len(seeds) * len(tasks), unit="run", disable=None)  # only on a terminal
    measured = []
    with ProcessPoolExecutor(options.jobs, context) as pool, bar as progress:
        for task in tasks:
            results = measure(task, seeds, pool, progress)
            progress.clear()
            print_header(task, seeds)
            print_table(results)
            print_effects(results)
            measured.append((task, results))
    draw(measured, options.plot)
    print(f"\nPicture: {options.plot}")


if __name__ == "__main__":
    main()
