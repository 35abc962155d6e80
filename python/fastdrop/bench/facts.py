# SPDX-License-Identifier: BSD-3-Clause
"""What a figure is worth nothing without: processor, ISA, compiler, threads, versions, commit."""

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastdrop

from .contenders import Contender


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def facts(contenders: Sequence[Contender]) -> dict[str, Any]:
    """The facts, as JSON can hold them."""
    config = fastdrop.show_config("dict") or {}
    versions = {c.family: c.version for c in contenders if c.family not in ("floor", "fastdrop")}
    return {
        "cpu": _cpu(),
        "isa": fastdrop.isas()[0],
        "compiler": config["compiler"],
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "processors usable": processors(),
        "processors of the machine": os.cpu_count(),
        "versions": {
            **{name: config[name] for name in ("fastdrop", "numpy", "python")},
            **{family: version for family, version in versions.items() if family not in config},
        },
        "system": config["system"],
        "commit": _commit(),
    }


def line(facts: dict[str, Any]) -> str:
    """The facts in one line."""
    usable, there = facts["processors usable"], facts["processors of the machine"]
    load = "" if facts["load"] is None else f", load {facts['load']} before"
    pinned = f"{usable} of {there} processors usable" if usable < there else f"{there} processors, not pinned"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    commit = f"commit {facts['commit']}" if facts["commit"] else "not a git checkout"
    return (
        f"{facts['cpu']}; best ISA {facts['isa']}; {facts['compiler']}; {pinned}{load}; {versions}; {commit}"
    )


def _cpu() -> str:
    try:
        for row in Path("/proc/cpuinfo").read_text().splitlines():
            if row.startswith("model name"):
                return row.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the checkout that this file is in, with a + if it has been changed since."""
    here = Path(__file__).parent
    try:
        subprocess.run(
            ["git", "ls-files", "--error-unmatch", "../__init__.py"],
            cwd=here,
            capture_output=True,
            check=True,
        )
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, check=True, text=True
        ).stdout.strip()
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--"], cwd=here, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # installed, or no git
    return commit + ("+" if changed.returncode else "")
