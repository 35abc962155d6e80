# SPDX-License-Identifier: BSD-3-Clause
"""What was built, what runs here, and how many threads: to see, and to choose."""

from __future__ import annotations

import os
import platform
from typing import Any, Self

import numpy as np

from . import _checks, _core
from ._installation import DISTRIBUTION, faults

STREAM_VERSION = 1  # of the mask stream (docs/stream.md)


def isas() -> tuple[str, ...]:
    """The instruction sets that can be used on this machine, best first.

    Examples
    --------
    >>> import fastdrop
    >>> fastdrop.isas()[-1]  # every machine has it
    'scalar'
    """
    return tuple(name for name, _, usable in _core.isas() if usable)


def isa() -> str:
    """The instruction set in use: ``FASTDROP_ISA``, else the best one; results do not depend on it.

    Raises
    ------
    ValueError
        If the environment variable ``FASTDROP_ISA`` is not one of `isas`.

    Examples
    --------
    >>> import fastdrop
    >>> fastdrop.isa() in fastdrop.isas()
    True
    """
    return _core.isa()


class PreviousIsa(str):
    """What `use_isa` returns: the instruction set before; the end of a with statement brings it back."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _core.use_isa(self)


def use_isa(name: str) -> PreviousIsa:
    """Use another instruction set in the whole process: from now on, or in a with statement.

    In a with statement the one that was in use comes back at the end. Other threads use the same one.

    Parameters
    ----------
    name : str
        One of `isas`.

    Returns
    -------
    PreviousIsa
        The one that was in use: a str, and what a with statement takes.

    Raises
    ------
    TypeError, ValueError
        If `name` is not one of `isas`; the message lists them. ValueError too where `isa` raises it.

    Examples
    --------
    >>> import fastdrop
    >>> with fastdrop.use_isa("scalar"):
    ...     fastdrop.isa()
    'scalar'
    >>> before = fastdrop.use_isa("scalar")
    >>> fastdrop.use_isa(before)
    'scalar'
    """
    return PreviousIsa(_core.use_isa(_checks.choice(name, "name", isas())))


def get_num_threads() -> int:
    """How many threads a large call made by this thread would use.

    The smaller of fastdrop's own limit (`set_num_threads`, at first ``FASTDROP_NUM_THREADS``) and OpenMP's
    limit in the calling thread (``OMP_NUM_THREADS``, `threadpoolctl`, otherwise the processors that the
    process may use). Small arrays always use one thread, and so does a call that comes while another one
    has the threads. Results do not depend on the number. Idle threads sleep: they take nothing from a BLAS
    beside them.

    Raises
    ------
    ValueError
        If the environment variable ``FASTDROP_NUM_THREADS`` is not a whole number of at least 1.

    Examples
    --------
    >>> import fastdrop
    >>> fastdrop.get_num_threads() >= 1
    True
    """
    return _core.thread_count()


class PreviousLimit(int):
    """What `set_num_threads` returns: the limit before; the end of a with statement brings it back."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _core.set_thread_limit(self)


def set_num_threads(n: int) -> PreviousLimit:
    """Limit the threads of later calls in the whole process: from now on, or in a with statement.

    In a with statement the limit before comes back at the end. Calls of other threads have the same limit.

    Parameters
    ----------
    n : int
        At least 1. OpenMP's own limit stands beside it, see `get_num_threads`.

    Returns
    -------
    PreviousLimit
        The limit before: an int, which may be set again, and what a with statement takes. 2**31 - 1 if there
        was none.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer of at least 1. ValueError too where `get_num_threads` raises it.

    Examples
    --------
    >>> import fastdrop
    >>> with fastdrop.set_num_threads(1):
    ...     fastdrop.get_num_threads()
    1
    >>> before = fastdrop.set_num_threads(1)
    >>> fastdrop.set_num_threads(before)
    1
    """
    return PreviousLimit(_core.set_thread_limit(_checks.integer(n, "n", 1, 2**31)))


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print, or return, everything that a bug report needs.

    Parameters
    ----------
    mode : {"stdout", "dict"}
        Print it, or return it as a dictionary that JSON can hold.

    Returns
    -------
    dict or None
        The dictionary, if asked for.

    Raises
    ------
    TypeError, ValueError
        If `mode` is not one of these, or an environment variable is wrong (see `isa`, `get_num_threads`).

    Examples
    --------
    >>> import fastdrop
    >>> fastdrop.show_config("dict")["distribution"]
    'fastdrop-kernels'
    """
    _checks.choice(mode, "mode", ("stdout", "dict"))
    config = {
        "fastdrop": _core.__version__,
        "distribution": DISTRIBUTION,
        "location": os.path.dirname(_core.__file__),
        "installation faults": faults(),
        "mask stream": STREAM_VERSION,
        "isa": isa(),
        "isas": {name: description for name, description, usable in _core.isas() if usable},
        "isas built but not usable here": [name for name, _, usable in _core.isas() if not usable],
        "threads": get_num_threads(),
        "OpenMP": _core.has_openmp,
        "OpenMP libraries loaded": _openmp_libraries(),
        "compiler": _core.compiler,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
    }
    if mode == "dict":
        return config
    for name, value in config.items():
        print(f"{name + ':':<32}{_readable(value)}")
    return None


def _readable(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({description})" for name, description in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)


def _openmp_libraries() -> list[str]:
    """Paths of the OpenMP runtimes in this process: more than one is worth knowing when threads misbehave."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")}
    except OSError:  # not Linux
        return []
    return sorted(path for path in paths if "omp" in os.path.basename(path) and ".so" in path)
