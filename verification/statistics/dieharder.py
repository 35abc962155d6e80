# SPDX-License-Identifier: BSD-3-Clause
"""The tests of Robert G. Brown's dieharder, two at a time, each with words of its own from standard input."""

import concurrent.futures
import os
import re
import shutil
import subprocess

from tqdm import tqdm

from . import streams

# Those of `dieharder -a`, by number and n-tuple, the longest first. Only the test 14 of sums is left out:
# `dieharder -l` says "Do Not Use", and the Mersenne Twister fails it with 2,000 samples.
TESTS = [
    *((203, lag) for lag in range(32, 15, -1)),
    (200, 12),
    (17, None),
    (200, 11),
    (7, None),
    *((203, lag) for lag in range(15, -1, -1)),
    *((200, bits) for bits in range(10, 0, -1)),
    *((201, dimension) for dimension in range(5, 1, -1)),
    *((202, length) for length in range(5, 1, -1)),
    *((number, None) for number in (2, 102, 101, 5, 1, 13, 6, 3, 12, 16, 9, 10, 0, 4, 11, 15, 8, 100)),
    *((number, None) for number in (204, 205, 206, 207, 208, 209)),
]
# `dieharder -l` calls these "Suspect": with ever more samples they find their own faults. They take as many
# samples as in `dieharder -a`, and the others as many as it takes until they are not WEAK any more.
SUSPECT = {5, 6, 7}
APART = 2**48  # words between the beginnings of two tests: more than any of them reads
RESULT = re.compile(r"^ *(\w+)\|\s*(\d+)\|.*\|\s*([\d.]+|-?nan)\|\s*(PASSED|WEAK|FAILED)\s*$", re.MULTILINE)


def program():
    found = shutil.which("dieharder")
    if found is None:
        raise FileNotFoundError(
            "dieharder must be installed, and is not on the PATH: apt-get install dieharder"
        )
    return found


def run(test, generator, source, bits):
    """The results of one test: name, n-tuple, p-value and assessment of each."""
    number, tuple_length = test
    # -g 200 reads standard input; -Y 1 draws more where a result is WEAK, until it is PASSED or FAILED.
    command = [program(), "-g", "200", "-d", str(number)]
    command += [] if number in SUSPECT else ["-Y", "1"]
    command += [] if tuple_length is None else ["-n", str(tuple_length)]
    first = TESTS.index(test) * APART
    read, write = os.pipe()
    with subprocess.Popen(command, stdin=read, stdout=subprocess.PIPE, text=True) as process:
        os.close(read)
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            output = reader.submit(process.stdout.read)
            try:
                with open(write, "wb", buffering=0) as pipe:
                    for chunk in streams.chunks(generator, source, bits, first):
                        pipe.write(chunk)
            except BrokenPipeError:  # it has read enough
                pass
            text = output.result()
    found = [(name, int(length), float(p), kind) for name, length, p, kind in RESULT.findall(text)]
    if process.returncode or not found:
        raise RuntimeError(f"dieharder must give results, not exit {process.returncode} with:\n{text}")
    return found


def run_all(generator, source, bits, tests=TESTS):
    """The assessments of all results, two tests at a time, printed as they come in."""
    results = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda test: run(test, generator, source, bits), tests)
        for found in tqdm(done, total=len(tests), unit="test", disable=None):
            for name, length, p, kind in found:
                tqdm.write(f"{name} {length}: p-value {p}, {kind}")
                results.append(kind)
    return results
