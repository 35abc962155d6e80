# SPDX-License-Identifier: BSD-3-Clause
"""The options of ``python -m fastdrop bench``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastdrop

from .cases import DTYPES, KI, MI
from .contenders.rivals import MODULES
from .fused import FUSED
from .kinds import DIRECTIONS, KINDS

# What one word of --op stands for.
GROUPS = {
    **{kind: (kind,) for kind in KINDS},
    "fused": tuple(FUSED),
    "softmax": ("softmax_dropout",),
    "attention": ("attention", "causal_attention"),
}
PICTURES = (".png", ".pdf", ".svg", ".jpg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to the subcommand's parser."""

    def several(name: str, convert: Callable[[str], Any], text: str, default: tuple[Any, ...] = ()) -> None:
        parser.add_argument(
            name, type=_list(convert), default=default, help=f"{text}; several with commas between"
        )

    parser.usage = argparse.SUPPRESS  # a wrong option is one line
    parser.add_argument(
        "--quick", action="store_true", help="a page in a minute at most, or with --op less effort"
    )
    parser.add_argument("--check", action="store_true", help="only look at the answers: nothing is timed")
    parser.add_argument(
        "--goals", action="store_true", help="also say which goals of the project are met: some minutes"
    )
    several("--op", lambda text: _one_of(*GROUPS)(text.replace("-", "_")), ", ".join(GROUPS))
    several("--direction", _one_of(*DIRECTIONS), ", ".join(DIRECTIONS))
    several("--sizes", _size, "numbers of elements, such as 4096, 64Ki or 16Mi")
    several("--dtype", _one_of(*DTYPES), ", ".join(DTYPES))
    several("--isa", _one_of(*fastdrop.isas()), ", ".join(fastdrop.isas()))
    several("--p", _probability, "probability of dropping")
    several(
        "--threads", _count, "threads of every contender that has them; 1, and 2 in a few cases, unless given"
    )
    compared = f"{', '.join(MODULES)}; numpy unless given, and with --plot also torch and jax if installed"
    several("--compare", _one_of(*MODULES), compared)
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        type=_file,
        metavar="FILE",
        help="to that file, or instead of the text",
    )
    parser.add_argument(
        "--plot", metavar="FILE", type=_picture, help=f"draw plain dropout: a file in {', '.join(PICTURES)}"
    )


def _list(convert: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def converted(text: str) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(convert(part.strip()) for part in text.split(",")))

    return converted


def _one_of(*names: str) -> Callable[[str], str]:
    def name(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(names)}")
        return text

    return name


def _count(text: str, unit: int = 1) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text) * unit


def _size(text: str) -> int:
    for suffix, unit in (("Ki", KI), ("Mi", MI)):
        if text.endswith(suffix):
            return _count(text.removesuffix(suffix), unit)
    return _count(text)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, both excluded")
    return value


def _file(text: str) -> str:
    if text != "-":
        path = Path(text)
        existed = path.exists()
        try:
            path.open("ab").close()  # changes nothing
            if not existed:
                path.unlink()
        except OSError as error:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be written: {error.strerror}") from None
    return text


def _picture(text: str) -> str:
    if not text.lower().endswith(PICTURES):
        raise argparse.ArgumentTypeError(f"{text!r} must end in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}")
    return _file(text)
