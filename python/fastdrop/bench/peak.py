# SPDX-License-Identifier: BSD-3-Clause
"""The peak of memory during one call, where the system tells: on Linux, with glibc."""

import ctypes
import gc
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # proc(5): the peak becomes what is resident now

Setting = Callable[[], AbstractContextManager[object]]


def peak_bytes(run: Callable[[], object], setting: Setting) -> int | None:
    """How far the resident memory rises in a call above what it was before; None where nobody tells.

    What a library written in Python keeps for every thread, to use it again, was resident before, and is
    added. Call it when `run` has been called before: a first call needs more.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
        _CLEAR.write_text(_FORGET_PEAK)
    except (OSError, AttributeError, TypeError):  # the last one: there is no CDLL(None)
        return None
    kept = _kept_by_a_thread(run, setting)
    with setting():
        gc.collect()
        trim(0)  # free memory would be used first, and the peak would not show it
        before = _resident("VmRSS")
        _CLEAR.write_text(_FORGET_PEAK)
        run()
        return kept + max(0, _resident("VmHWM") - before)


def _kept_by_a_thread(run: Callable[[], object], setting: Setting) -> int:
    """Bytes of Python and NumPy that are still there when a call on a new thread has returned."""
    kept = 0

    def work() -> None:
        nonlocal kept
        with setting():
            before, _ = tracemalloc.get_traced_memory()
            run()
            kept = tracemalloc.get_traced_memory()[0] - before

    thread = threading.Thread(target=work)
    tracemalloc.start()
    try:
        thread.start()
        thread.join()
    finally:
        tracemalloc.stop()
    return max(0, kept)


def _resident(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_STATUS} has no {field}")
