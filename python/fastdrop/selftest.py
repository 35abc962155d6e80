# SPDX-License-Identifier: BSD-3-Clause
"""The golden masks of stream version 1, on every instruction set that is usable here."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

import fastdrop


def golden_masks() -> list[dict[str, Any]]:
    """The rows of the golden file that the package ships."""
    path = Path(__file__).parent / "data" / "golden-masks-v1.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def matches(row: dict[str, Any]) -> bool:
    """Whether the mask that a golden row describes has the bits that it says."""
    start, count = int(row["start"]), row["n"]
    whole = fastdrop.Mask(
        start + count,
        row["p"],
        seed=int(row["seed"]),
        stream=int(row["stream"]),
        generator=row["generator"],
    )
    bits = np.packbits(whole[start:].to_numpy(), bitorder="little").tobytes()
    return bool(hashlib.sha256(bits).hexdigest() == row["sha256_packbits_little"])


def selftest() -> int:
    """Print a line for every instruction set; return 0 if all is well, else 1."""
    rows = golden_masks()
    failed = 0
    for name in fastdrop.isas():
        with fastdrop.use_isa(name):
            right = sum(matches(row) for row in rows)
        failed += right != len(rows)
        print(f"{name}: {right} of {len(rows)} golden masks match")
    return 1 if failed else 0
