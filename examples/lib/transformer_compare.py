# SPDX-License-Identifier: BSD-3-Clause
"""Step times of the three transformers, which take turns, and what a step's time goes to."""

import time

import numpy as np

from .step_split import FUNCTIONS, PARTS, split_of_step

WARM_UP = 2  # rounds that are not counted: libraries start, and memory is mapped


def compare(networks, batches):
    """Return the seconds of every step by network. In each round all networks take the same batch."""
    seconds = {name: [] for name in networks}
    names = list(networks)
    for number, batch in enumerate(batches):
        turn = number % len(names)  # another network begins each round
        for name in names[turn:] + names[:turn]:
            start = time.perf_counter()
            networks[name].step(*batch)
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(times[WARM_UP:]) for name, times in seconds.items()}


def print_times(seconds):
    """Print medians, and the quartiles of the ratios to fastdrop within a round."""
    print(f"{'':10}  ms per step  against fastdrop, with quartiles")
    for name, times in seconds.items():
        low, middle, high = np.quantile(times / seconds["fastdrop"], [0.25, 0.5, 0.75])
        print(f"{name:10}  {1e3 * np.median(times):11.1f}  {middle:.2f} ({low:.2f}-{high:.2f})")


def print_split(networks, batch, rounds=3):
    """Print what a step's time goes to: the median of some rounds."""
    print(f"\n{'ms per step':12}" + "".join(f"{part:>11}" for part in PARTS) + "   not matmul")
    for name in FUNCTIONS:
        rows = [
            list(split_of_step(name, lambda name=name: networks[name].step(*batch)).values())
            for _ in range(rounds)
        ]
        parts = np.median(rows, axis=0)
        share = 1 - parts[PARTS.index("matmul")] / parts.sum()
        print(f"{name:12}" + "".join(f"{1e3 * part:11.1f}" for part in parts) + f"   {100 * share:6.0f} %")
