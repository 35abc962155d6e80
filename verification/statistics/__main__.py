# SPDX-License-Identifier: BSD-3-Clause
"""Judge masks, noise and raw words by statistics.

    python -m verification.statistics masks                         the battery
    python -m verification.statistics power                         what the battery sees, and at which size
    python -m verification.statistics dieharder ars4x32-7 streams   half an hour or less, on two cores

The battery fails if one of N tail probabilities is below 1e-6 / N. By the union bound, a perfect generator
fails it for one choice of seeds in a million. All seeds are fixed, so that a run that passed passes again.
"""

import argparse
import sys

from fastdrop import _core

from . import battery, dieharder, power, streams

FAMILY = 1e-6  # how often the whole battery fails though nothing is wrong
BITS, LEAST_BITS = 2**28, 2**17  # from where p = 1e-4 drops some
TESTS = 6_000  # about as many as the battery has, for the threshold of the power


def parse():
    parser = argparse.ArgumentParser(
        prog="python -m verification.statistics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    masks = commands.add_parser("masks", help="the battery")
    masks.add_argument(
        "--bits", type=int, default=BITS, help="of each large mask, rounded down to a power of 2"
    )
    faults = commands.add_parser("power", help="which faults the battery sees")
    faults.add_argument("--bits", type=int, default=BITS, help="of the largest mask")
    many = commands.add_parser("dieharder", help="dieharder -a on one stream, or on 8,192 that take turns")
    many.add_argument("generator", choices=_core.generators)
    many.add_argument(
        "source", choices=streams.SOURCES, help="one stream, or adjacent streams, seeds or keys"
    )
    many.add_argument("--bits", choices=streams.BITS, default="words", help="raw words, or masks at p = 0.5")
    many.add_argument("--tests", type=int, nargs="+", help="their numbers in dieharder -l, instead of all")
    options = parser.parse_args()
    if options.command != "dieharder" and options.bits < LEAST_BITS:
        parser.error(f"--bits must be {LEAST_BITS:,} or more, not {options.bits:,}")
    if options.command == "dieharder" and options.tests:
        known = {number for number, _ in dieharder.TESTS}
        if unknown := sorted(set(options.tests) - known):
            parser.error(f"--tests must be of {sorted(known)}, not {unknown}")
    return options


def run_battery(options):
    size, count, least = 2 ** (options.bits.bit_length() - 1), 0, (1.0, "")
    for generator in _core.generators:
        for name, tails in battery.whole(generator, size):
            count, least = count + len(tails), min(least, (min(tails), f"{generator}, {name}"))
            print(f"{generator}: {name}: {len(tails):,} tests, smallest tail {min(tails):.2g}", flush=True)
    found = least[0] < FAMILY / count
    print(
        f"statistics: {count:,} tests of masks of {size:,} bits and of noise, smallest tail {least[0]:.2g} "
        f"({least[1]}), which is {'below' if found else 'not below'} {FAMILY / count:.2g}"
    )
    return 1 if found else 0


def run_power(options):
    threshold, missed = FAMILY / TESTS, 0
    for name, (draw, check) in power.SEEN.items():
        size = power.first_size(draw, check, threshold, options.bits)
        missed += size is None
        print(f"{name}: {f'seen in {size:,} bits' if size else 'NOT SEEN'}", flush=True)
    for name, (draw, check) in power.UNSEEN.items():
        size = power.first_size(draw, check, threshold, options.bits)
        print(
            f"{name}: {f'seen in {size:,} bits' if size else 'not seen, as was to be expected'}", flush=True
        )
    print(f"statistics: {len(power.SEEN) - missed} of {len(power.SEEN)} faults seen in {options.bits:,} bits")
    return 1 if missed else 0


def run_dieharder(options):
    tests = [test for test in dieharder.TESTS if options.tests is None or test[0] in options.tests]
    kinds = dieharder.run_all(options.generator, options.source, options.bits, tests)
    failed, weak = kinds.count("FAILED"), kinds.count("WEAK")
    print(
        f"statistics: dieharder on {options.bits} of {options.generator}, {options.source}: "
        f"{len(kinds)} results, {failed} FAILED, {weak} WEAK"
    )
    return 1 if failed else 0


def main():
    options = parse()
    commands = {"masks": run_battery, "power": run_power, "dieharder": run_dieharder}
    return commands[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
