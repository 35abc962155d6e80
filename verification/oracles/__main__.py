# SPDX-License-Identifier: BSD-3-Clause
"""Judge words, masks, scales and results by oracles that owe nothing to fastdrop.

    python -m verification.oracles                        some minutes
    python -m verification.oracles --blocks 1000000 --decisions 1000000 --scales 10000 --elements 10000

The first two sizes are of each generator, and everything is done on every ISA. It fails if one number
differs, or if one error is beyond its bound. Bounds follow from docs/numerics.md and docs/stream.md.
"""

import argparse
import sys

import numpy as np

import fastdrop
from fastdrop import _core

from . import operations, scales, streams, words

SEED = 20111112  # the first day of the conference of the generators' paper; not changed since the first run


def parse():
    parser = argparse.ArgumentParser(
        prog="python -m verification.oracles", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--blocks", type=int, default=100_000_000, help="blocks of each generator")
    parser.add_argument("--decisions", type=int, default=1_000_000_000, help="elements of its masks")
    parser.add_argument("--scales", type=int, default=1_000_000, help="probabilities")
    parser.add_argument(
        "--elements", type=int, default=500_000, help="elements of each array of an operation"
    )
    sizes = parser.parse_args()
    for name, size in vars(sizes).items():
        if size < 1:
            parser.error(f"--{name} must be 1 or more, not {size}")
    return sizes


def main():
    sizes, random = parse(), np.random.default_rng(SEED)
    isas = fastdrop.isas()
    print(f"fastdrop {fastdrop.__version__} on {', '.join(isas)}")

    openssl = min(sizes.blocks, 1_000_000)
    differing = words.different_from_openssl(random, openssl)
    print(
        f"AES-128 of the oracle's rounds: {openssl:,} blocks, {differing:,} others than OpenSSL's", flush=True
    )

    totals = {"blocks": 0, "decisions": 0}
    checks = {"blocks": streams.different_blocks, "decisions": streams.different_decisions}
    for kind, check in checks.items():
        for generator in _core.generators:
            different, count = check(generator, random, getattr(sizes, kind))
            print(f"{generator}: {count:,} {kind} on each ISA, {different:,} differ", flush=True)
            differing, totals[kind] = differing + different, totals[kind] + count * len(isas)

    different, scale_count, share = scales.different_scales(random, sizes.scales)
    differing += different
    print(
        f"scales: {scale_count:,} probabilities, {different:,} differ; {share:.2%} of the bound", flush=True
    )

    worst, numbers = share, 0
    for name, dtype, share, count in operations.worst_shares(sizes.elements):
        print(f"{name} {dtype}: {count:,} numbers, {share:.2%} of the bound", flush=True)
        worst, numbers = max(worst, share), numbers + count
    print(
        f"oracles: {totals['blocks']:,} blocks, {totals['decisions']:,} decisions, {scale_count:,} scales: "
        f"{differing:,} differ; {numbers:,} results of {len(_core.operations)} operations: "
        f"the worst error is {worst:.2%} of its bound"
    )
    return 1 if differing or not worst <= 1 else 0


if __name__ == "__main__":
    sys.exit(main())
