# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastdrop``: what was built, whether it is right here, and how fast it is."""

import argparse
import json
import sys

import fastdrop

from ._installation import DISTRIBUTION, faults


def main(arguments: list[str] | None = None) -> int:
    if not hasattr(fastdrop, "show_config"):  # another distribution has overwritten or removed __init__.py
        print(f"fastdrop/__init__.py is not that of {DISTRIBUTION}.", *faults(), file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog="python -m fastdrop", description=fastdrop.__doc__)
    parser.add_argument("--version", action="version", version=fastdrop.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="print the configuration, for a bug report")
    info.add_argument("--json", action="store_true", help="as JSON")
    commands.add_parser("selftest", help="compare the golden masks on every instruction set usable here")
    bench = commands.add_parser(
        "bench", help="measure what dropout costs here, beside a copy and beside others"
    )
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["bench"]:  # the other commands do without its imports
        from .bench import add_arguments, run

        add_arguments(bench)
    options = parser.parse_args(given)
    try:
        fastdrop.isa()
        fastdrop.get_num_threads()
    except ValueError as error:  # a wrong environment variable
        print(error, file=sys.stderr)
        return 2
    if options.command == "bench":
        return run(options)
    if options.command == "selftest":
        from .selftest import selftest

        return selftest()
    if options.json:
        print(json.dumps(fastdrop.show_config("dict"), indent=2))
    else:
        fastdrop.show_config()
    return 0


if __name__ == "__main__":
    sys.exit(main())
