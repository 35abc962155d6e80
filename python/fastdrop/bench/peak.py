# SPDX-License-Identifier: BSD-3-Clause
"""The peak of memory during one call, where the system tells: on Linux, with glibc."""

import ctypes
import gc
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # proc(5): the peak becomes what is resident now


def peak_bytes(
    run: Callable[[], object], setting: Callable[[], AbstractContextManager[object]]
) -> int | None:
    """How far the resident memory rises in a call above what it was before; None where nobody tells.

    The call is made on a thread of its own, so that what a library keeps for each thread counts. One call
    before it leaves behind what only a first call needs.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
        _CLEAR.write_text(_FORGET_PEAK)
    except (OSError, AttributeError, TypeError):  # the last one: there is no CDLL(None)
        return None
    _on_a_thread(run, setting)
    gc.collect()
    trim(0)  # free memory would be used first, and the peak would not show it
    before = _resident("VmRSS")
    _CLEAR.write_text(_FORGET_PEAK)
    _on_a_thread(run, setting)
    return max(0, _resident("VmHWM") - before)


def _on_a_thread(run: Callable[[], object], setting: Callable[[], AbstractContextManager[object]]) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with setting():
                run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _resident(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_STATUS} has no {field}")
