# SPDX-License-Identifier: BSD-3-Clause
"""Refuses memory to every public call of fastdrop, at each request in turn, and limits the address space.

    python -m verification.allocation            # everything, some minutes on two cores
    python -m verification.allocation --quick    # some calls

An allocator that stands before the C library's fails the first request of a call, then the second, until the
call needs no more; once that request alone, and once all from it on. A call may then be right, or raise an
error. After the error, every array and state is as it was, bit for bit, but that a generator's stream, or its
number of children, may have gone on. The same call then gives the right result, and no more memory stays in
use than otherwise. `out` of attention is an exception, which its documentation names.

There are two kinds of requests:

- "core": those that a function of the core waits for: of C++, of NumPy's arrays, and, by PYTHONMALLOC=malloc,
  of Python's objects. The error is MemoryError.
- "data": all of a call that reach malloc, which are arrays above all. CPython and NumPy name some of these
  failures otherwise: `is_of_others` of allocation_sweeps.py lists them.

Python's own objects outside the core are not refused. NumPy 2.4 itself ends in SIGSEGV then, in errstate and
in __array_interface__, and CPython 3.11 leaks the arguments of a call.

It needs glibc and a C compiler.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from verification.allocation_cases import every_case

HERE = Path(__file__).parent
TIMEOUT = 3600  # seconds: beside other work a process takes several times its ten minutes
BATCH = 25  # cases of a process
QUICK = (
    *("dropout, p by column, in place", "drop_block, out", "bias_dropout_add, backward, new"),
    *("dropout_add_layer_norm, out", "Dropout: layer_forward", "generator: spawn"),
    *("mask drawn on steps, in place", "settings", "Dropout, p by column: layer_state"),
    "rows: cross_entropy, float32",
)


def compile_allocator(folder):
    """The library that LD_PRELOAD names."""
    library = folder / "failing_allocator.so"
    source = HERE / "failing_allocator.c"
    command = ["cc", "-O1", "-shared", "-fPIC", "-fno-builtin", source, "-o", library, "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return library


def child(module, *arguments, **environment):
    """A process of its own."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("FASTDROP_")}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", f"verification.{module}", *map(str, arguments)],
        env={**known, "FASTDROP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1", **environment},
        cwd=HERE.parent, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip


def sweep(requests, names, library, folder):
    """Cases of one kind of requests. A process that dies is a finding, and the cases after it go on."""
    results, left = [], list(names)
    progress = folder / f"{requests}-{abs(hash(left[0]))}"
    memory = {"PYTHONMALLOC": "malloc"} if requests == "core" else {}
    while left:
        done = child("allocation_sweeps", progress, requests, *left, LD_PRELOAD=str(library), **memory)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        results += lines
        left = left[len(lines) :]
        if done.returncode or done.stderr:
            where = progress.read_text().strip() if progress.exists() else "at the start"
            what = f"exit status {done.returncode} at {where}: {done.stderr.strip()}"
            results.append([left[0] if left else names[-1], 0, [what]])
            left = left[1:]
    return [(f"{requests}, {name}", failures, findings) for name, failures, findings in results]


def jobs(is_quick):
    """The kinds of requests, each with cases for a process."""
    small, large = ([*cases] for cases in every_case())
    kinds = {"core": small, "data": small + large}
    for requests, names in kinds.items():
        if is_quick:
            names = [name for name in QUICK if name in names]
        yield from ((requests, names[first : first + BATCH]) for first in range(0, len(names), BATCH))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="some calls only, in seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(2) as pool:
        folder = Path(name)
        library = compile_allocator(folder)
        pending = [pool.submit(sweep, *job, library, folder) for job in jobs(options.quick)]
        limited = pool.submit(child, "allocation_limits", LD_PRELOAD=str(library))
        results = [result for job in pending for result in job.result()]
        done = limited.result()
    print(done.stdout, end="")
    findings = [f"{name}: {finding}" for name, _, found in results for finding in found]
    if done.returncode:
        findings.append(f"limits: {done.stderr.strip()}")
    for finding in findings:
        print(finding)
    failures = sum(count for _, count, _ in results)
    print(f"allocation: {len(results)} calls, {failures:,} refused requests, {len(findings)} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
