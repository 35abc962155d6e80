# SPDX-License-Identifier: BSD-3-Clause
"""Threads that cannot be made, the first call, fork, and RLIMIT_AS; run by ``verification.allocation``.

Each check is done by a child of this process, which itself has never used fastdrop's threads.
"""

import os
import resource
import sys
import traceback
from pathlib import Path

import numpy as np

import fastdrop as fd
from verification.allocation_cases import STRIDED
from verification.allocation_sweeps import Allocator
from verification.allocation_trials import normal

MIB = 1 << 20
HUGE = (1 << 16, 1 << 14)  # 4 GiB of float32
allocator = Allocator()
x, mask = normal(STRIDED).T, fd.Mask(STRIDED[::-1], 0.25, seed=1)
right = fd.reference.Mask(STRIDED[::-1], 0.25, seed=1).apply(np.ascontiguousarray(x))


def in_a_child(check):
    """What is wrong, or None, if a child of this process does it."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        code = 1
        try:
            os.close(reader)
            check()
            code = 0
        except BaseException:
            allocator.countdown.value = 0
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        report = pipe.read()
    status = os.waitpid(child, 0)[1]
    return None if status == 0 else f"status {status}: {report}"


def is_right(refuse=lambda: None):
    """Whether a call of two threads is right after `refuse`. None: no memory, and `out` is as it was."""
    out = np.full(x.shape, 7, np.float32)
    refuse()
    try:
        mask.apply(x, out=out)
    except MemoryError:
        allocator.countdown.value = 0
        assert (out == 7).all(), "out has changed"
        return None
    allocator.countdown.value = 0
    assert (out == right).all(), "a wrong result"
    return True


def without_threads():
    """Work is done by fewer threads, and by all of them again as soon as there are any."""
    before = len(os.listdir("/proc/self/task"))
    allocator.no_threads.value = 1
    assert is_right()
    assert len(os.listdir("/proc/self/task")) == before
    allocator.no_threads.value = 0
    assert is_right()
    assert len(os.listdir("/proc/self/task")) > before, "no thread was made afterwards"


def first_call(request, from_then_on):
    """The first call, which makes the pool and its threads."""

    def refuse():
        allocator.from_then_on.value = from_then_on
        allocator.countdown.value = request

    is_right(refuse)
    failures = allocator.failures.value
    assert is_right(), "no memory, though there is some again"
    if failures == 0:
        os._exit(77)  # the call needs fewer requests


def fork_without_memory():
    """The child of a process with a pool begins with another one."""
    assert is_right()
    allocator.core_only.value = allocator.from_then_on.value = 1
    allocator.countdown.value = 1
    if (child := os.fork()) == 0:
        allocator.countdown.value = 0
        os._exit(0 if is_right() else 1)
    allocator.countdown.value = 0
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"the child ended with status {status}"


def address_space(extra):
    """Leave the process so many bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def huge_calls():
    """Calls whose results have 4 GiB, by name."""
    array = np.broadcast_to(np.float32(1), HUGE)
    column = np.ones(HUGE[1], np.float32)
    drawn = fd.Mask(HUGE, 0.25, seed=1)
    masks, layer = fd.MaskGenerator(1), fd.Dropout(0.5, rng=1)
    sequence = np.broadcast_to(np.float32(1), (1 << 24, 64))
    functions = {
        name: lambda name=name: getattr(fd, name)(array, rng=masks)
        for name in ("dropout", "alpha_dropout", "gaussian_dropout", "drop_connect", "drop_path")
    }
    plain = {name: lambda name=name: getattr(fd, name)(array) for name in ("gelu", "silu", "relu", "softmax")}
    return masks, {
        **functions,
        **plain,
        "p by column": lambda: fd.dropout(array, np.linspace(0, 1, HUGE[1]), rng=masks),
        "noise shape": lambda: fd.dropout(array, noise_shape=(None, 1), rng=masks),
        "apply": lambda: drawn.apply(array),
        "to_numpy": lambda: fd.Mask(2**40, 0.5, seed=1).to_numpy(),
        "to_bits": lambda: fd.Mask(2**40, 0.5, seed=1).to_bits(),
        "drop_block": lambda: fd.drop_block(array[None, None], 0.1, block_size=3, rng=masks),
        "bias_dropout_add": lambda: fd.bias_dropout_add(array, column, rng=masks),
        "dropout_add_layer_norm": lambda: fd.dropout_add_layer_norm(array, None, column, rng=masks),
        "dropout_add_rms_norm": lambda: fd.dropout_add_rms_norm(array, None, column, rng=masks),
        "softmax_dropout": lambda: fd.softmax_dropout(array, 0.1, rng=masks),
        "cross_entropy": lambda: fd.cross_entropy(array, np.zeros(HUGE[0], int)),
        "attention": lambda: fd.attention(sequence, sequence, sequence, 0.1, rng=masks),
        "layer": lambda: layer(array),
        "mc_dropout": lambda: fd.mc_dropout(lambda x, rng: x, array, 3, rng=masks),
    }


def huge(name):
    """MemoryError, and afterwards small calls are right."""
    masks, calls = huge_calls()
    address_space(512 * MIB)
    try:
        calls[name]()
    except MemoryError:
        pass
    else:
        raise AssertionError(f"{name} found 4 GiB in 512 MiB")
    assert masks.state["stream"] <= 1
    assert is_right(), "no memory for a small call"


def narrow(extra):
    """With so many bytes left, the call is right or leaves `out` as it was."""
    is_right(lambda: address_space(extra))


def main():
    checks = {"threads": without_threads, "fork": fork_without_memory}
    checks |= {f"4 GiB, {name}": lambda name=name: huge(name) for name in huge_calls()[1]}
    steps = [step * MIB // 8 for step in range(0, 8 * 24, 3)]  # up to 24 MiB: buffers, threads' stacks
    checks |= {f"{extra} bytes left": lambda extra=extra: narrow(extra) for extra in steps}
    findings = {name: found for name, check in checks.items() if (found := in_a_child(check))}
    count = len(checks)
    for from_then_on in (0, 1):
        for request in range(1, 1000):
            found = in_a_child(lambda request=request, mode=from_then_on: first_call(request, mode))
            if found == f"status {77 << 8}: ":
                break
            count += 1
            if found:
                findings[f"first call, request {request}, mode {from_then_on}"] = found
        else:
            findings["first call"] = "needs no end of requests"
    for name, found in findings.items():
        print(f"{name}: {found}")
    print(f"limits: {count} checks, {len(findings)} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
