# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastdrop``: what was built, whether it is right here, and how fast it is."""

import argparse
import json
import sys

import fastdrop


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastdrop", description=fastdrop.__doc__)
    parser.add_argument("--version", action="version", version=fastdrop.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="print the configuration, for a bug report")
    info.add_argument("--json", action="store_true", help="as JSON")
    commands.add_parser("selftest", help="compare the golden masks on every instruction set usable here")
    options = parser.parse_args(arguments)
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
