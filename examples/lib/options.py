# SPDX-License-Identifier: BSD-3-Clause
"""Options that all examples have: a wrong one ends the program before its work, with one line."""

import argparse
from pathlib import Path

PICTURES = ".png", ".pdf", ".svg", ".jpg"


def make_parser(description):
    """Return a parser that shows the description as it stands, and of a wrong option the error alone."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(
        description=description, formatter_class=formatter, usage=argparse.SUPPRESS
    )


def whole_number(least):
    """Return the type of an option that is a whole number of at least this."""

    def convert(text):
        if not (text.isascii() and text.isdecimal() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, not {text!r}")
        return int(text)

    return convert


def add_plot(parser, default):
    """Add the option that says where the picture goes."""
    parser.add_argument("--plot", type=picture, default=default, metavar="FILE", help="default: %(default)s")


def picture(text):
    """Return the path of a picture that can be written; nothing is changed there."""
    path = Path(text)
    if path.suffix.lower() not in PICTURES:
        endings = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
        raise argparse.ArgumentTypeError(f"must be a file that ends in {endings}, not {text!r}")
    existed = path.exists()
    try:
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        wanted = "must be a file that can be written"
        raise argparse.ArgumentTypeError(f"{wanted}, not {text!r}: {error.strerror}") from None
    return text
