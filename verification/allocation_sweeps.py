# SPDX-License-Identifier: BSD-3-Clause
"""Makes every request for memory of a call fail in turn; run by ``verification.allocation``.

    python -m verification.allocation_sweeps PROGRESS NAME...    # with the allocator that fails preloaded

The last line of the file PROGRESS says what is being done, so that whoever started a process that died knows.
"""

import ctypes
import gc
import json
import pickle
import sys
from pathlib import Path

import numpy as np

import fastdrop as fd
from verification.allocation_cases import every_case

ROUNDS = {"small": 3, "large": 1}  # of refused requests, after the first
NEVER = 2**62  # a request that no call comes to


class Allocator:
    """The allocator of failing_allocator.c. Setting `value` of its numbers asks for no memory."""

    def __init__(self):
        library = ctypes.CDLL(None)
        self.countdown = ctypes.c_long.in_dll(library, "failing_countdown")
        self.failures = ctypes.c_long.in_dll(library, "failing_failures")
        self.live = ctypes.c_long.in_dll(library, "failing_live")
        self.from_then_on = ctypes.c_int.in_dll(library, "failing_from_then_on")
        self.no_threads = ctypes.c_int.in_dll(library, "failing_threads")
        self.core_only = ctypes.c_int.in_dll(library, "failing_core_only")


def digest(value):
    """What can be compared with ==, bit for bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (fd.Mask, fd.MaskGenerator)):
        return pickle.dumps(value)
    if isinstance(value, dict):
        return {name: digest(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [digest(entry) for entry in value]
    if hasattr(value, "__dict__") and type(value).__module__.startswith("fastdrop."):
        return [type(value).__name__, digest(vars(value))]
    return value if value is None or isinstance(value, (int, float, str, bytes)) else pickle.dumps(value)


def is_of_others(error):
    """Whether CPython or NumPy says in its own way that there is no memory.

    These are threading.Lock, numpy.errstate, ufuncs and numpy.may_share_memory, in this order.
    """
    words = (
        "can't allocate lock",
        "without exception set",
        "without setting an exception",
        "computing overlap",
    )
    return isinstance(error, (RuntimeError, SystemError)) and any(word in str(error) for word in words)


def kept_state(trial):
    return [digest(each() if callable(each) else each) for each in trial.kept]


def taken(trial):
    """How many masks and children its generator has handed out."""
    state = {} if trial.rng is None else trial.rng.state
    return state.get("stream", 0), state.get("children", 0)


def right_results(prepare):
    """What the call gives if no mask or child has been taken before it, one, ... as many as it takes."""
    trial = prepare()
    before = taken(trial)
    first = digest(trial.call())
    results = {before: first}
    uses = [after - was for after, was in zip(taken(trial), before, strict=True)]
    for masks in range(uses[0] + 1):
        for children in range(uses[1] + 1):
            other = prepare()
            for _ in range(masks):
                other.rng.mask((1,), 0.5)
            if children:
                other.rng.spawn(children)
            results[taken(other)] = digest(other.call())
    return results


def refuse(prepare, right, allocator, request):
    """A call whose request of that number fails. Returns what is wrong, or None if it needs fewer."""
    trial = prepare()
    before = kept_state(trial)
    findings, error, result = [], None, None
    allocator.failures.value = 0
    allocator.countdown.value = request
    try:
        result = trial.call()
    except BaseException as raised:
        allocator.countdown.value = 0
        error = raised
    allocator.countdown.value = 0
    if allocator.failures.value == 0 and request != NEVER:
        return None
    if error is None and digest(result) not in right.values():
        findings.append("a wrong result, and no error")
    is_named_otherwise = not allocator.core_only.value and is_of_others(error)
    if not (error is None or isinstance(error, MemoryError) or is_named_otherwise):
        findings.append(f"{type(error).__name__}: {error}")
    if error is not None and kept_state(trial) != before:
        findings.append("an error, but something has changed")
    del error, result
    if findings:
        return findings
    if request == NEVER:
        digest(trial.call())  # as below, for what stays
    elif taken(trial) not in right:
        findings.append(f"the generator is at {taken(trial)}")
    elif kept_state(trial) == before and digest(trial.call()) != right[taken(trial)]:
        findings.append("the same call is wrong afterwards")
    return findings


def blocks_in_use(allocator):
    """Without what CPython's cache of attributes holds: names that C code makes for every lookup."""
    gc.collect()
    clear = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache  # Python 3.13 renamed it
    clear()
    return allocator.live.value


def run(name, prepare, allocator, rounds, say):
    """Let the first request fail, the second, ... to the last one. Returns findings and how many failed.

    The first of the rounds fills caches. What stays after each other one is compared with what stays where
    nothing is refused: CPython's free lists go on growing for some rounds.
    """
    right = right_results(prepare)
    findings, failures, count = [], 0, 0
    for from_then_on in (0, 1):
        allocator.from_then_on.value = from_then_on
        live = (ctypes.c_long * (2 * rounds + 1))()
        for number in range(2 * rounds + 1):
            request, is_control = 0, number > 0 and number % 2 == 0
            while is_control and request < count:
                request += 1
                refuse(prepare, right, allocator, NEVER)
            while not is_control:
                request += 1
                say(f"{name}, {'from then on' if from_then_on else 'one'}, round {number}, request {request}")
                if (found := refuse(prepare, right, allocator, request)) is None:
                    break
                if number == 0:
                    findings += [f"request {request}: {finding}" for finding in found]
            if number == 0:
                count = request - 1
                failures += count
            live[number] = blocks_in_use(allocator)
        growth = np.diff(live)
        refused, control = growth[::2], growth[1::2]
        if refused.min() > max(control.max(), 0):
            findings.append(f"blocks that stay: {refused.tolist()}, and without failures {control.tolist()}")
    return findings, failures


def main():
    path, requests, *names = sys.argv[1:]
    small, large = every_case()
    allocator = Allocator()
    allocator.core_only.value = requests == "core"
    errors = [MemoryError() for _ in range(100)]  # CPython keeps some of them for the next
    del errors
    unraisable = []
    sys.unraisablehook = lambda report: unraisable.append(repr(report.exc_value))
    with Path(path).open("w") as progress:

        def say(where):
            progress.seek(0)
            progress.write(where.ljust(200))
            progress.flush()

        for name in names:
            size, cases = ("small", small) if name in small else ("large", large)
            findings, failures = run(name, cases[name], allocator, ROUNDS[size], say)
            findings += [f"an error that nobody saw: {each}" for each in set(unraisable)]
            unraisable.clear()
            print(json.dumps([name, failures, findings]), flush=True)


if __name__ == "__main__":
    main()
