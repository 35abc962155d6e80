# SPDX-License-Identifier: BSD-3-Clause
"""Kills trainings at random instants, starts them again, and compares what they end with.

    python -m verification.kills                             # all parts: some minutes
    python -m verification.kills --kills 2 --part training   # seconds

- training: a network in NumPy with layers of fastdrop, which saves a checkpoint after every step. SIGKILL
  comes at a random instant of a random step or of its save, and the next process goes on to the end.
- mpi: three processes, of which a random one is killed. mpiexec ends the others, and all start again.
- dask: a worker of a LocalCluster is killed while a graph with fastdrop.dask.dropout is computed. Dask
  gives its tasks to a new worker.

All ends must have the bits of a run that nobody disturbed: weights, momentum, masks still to come, and order
of the data. The last lines say where the kills fell.
"""

import argparse
import collections
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from verification.kills_checkpoint import DONE, SAVING, STARTING, STEPPING, Checkpoint

ROOT = Path(__file__).parents[1]
PHASES = {
    STARTING: "before the first step",
    STEPPING: "in a step",
    SAVING: "in a save",
    DONE: "after the end",
}
TIMEOUT = 120  # seconds without an end are a hang
STEPS = 30


def start(command):
    """The program, with one thread of BLAS, whose sums would depend on their number."""
    return subprocess.Popen(
        list(map(str, command)), cwd=ROOT, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(command):
    """Run the program to its end; return the step with which it began."""
    process = start(command)
    output, errors = process.communicate(timeout=TIMEOUT)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}: {errors}")
    return int(output)


def kill_at(command, place, target, delay):
    """Start the program; kill the process of that place `delay` seconds after step `target` began."""
    process = start(command)
    end = time.monotonic() + TIMEOUT
    while place[0] == STARTING or place[1] < target:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise RuntimeError(f"{command} did not come to step {target}: {process.communicate()[1]}")
        time.sleep(1e-4)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):  # it was at its end
        os.kill(int(place[2]), signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)


def run_part(command, places, kills, rng):
    """Kill and resume so many times. Returns findings, and how often each phase was hit.

    `command` is a program's, of a folder and a number of steps. `places` are the folders of its processes in
    that one. The first process has the checkpoint.
    """
    findings, hit = [], collections.Counter()
    with tempfile.TemporaryDirectory() as name:

        def fresh():
            folder = Path(tempfile.mkdtemp(dir=name))
            for place in places:
                (folder / place).mkdir(exist_ok=True)
            return folder, [Checkpoint(folder / place) for place in places]

        folder, checkpoints = fresh()
        begun = time.monotonic()
        finish([*command, folder, STEPS])
        of_a_step = (time.monotonic() - begun) / STEPS  # with the start of Python: some steps are passed
        right = content(checkpoints[0])
        while sum(hit.values()) < kills:
            folder, checkpoints = fresh()
            victim = checkpoints[rng.integers(len(checkpoints))].place
            target = int(rng.integers(1, STEPS - 1))
            kill_at([*command, folder, STEPS], victim, target, rng.random() * of_a_step / 4)
            phase, step = int(victim[0]), int(victim[1])
            if phase == DONE:
                continue
            hit[PHASES[phase]] += 1
            saved = checkpoints[0].load()
            first = finish([*command, folder, STEPS])
            where = f"killed {PHASES[phase]}, {step}"
            if first != saved[1]["steps"] or first < target - 1:
                findings.append(f"{where}: it began again with step {first}")
            if content(checkpoints[0]) != right:
                findings.append(f"{where}: the end differs from that of an undisturbed run")
            shutil.rmtree(folder)
    return findings, hit


def content(checkpoint):
    """A checkpoint's arrays and state, for a comparison bit for bit."""
    arrays, state = checkpoint.load()
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}, state


def training(kills, rng):
    """The training of one process."""
    return run_part([sys.executable, "-m", "verification.kills_training"], [""], kills, rng)


def mpi(kills, rng):
    """The training of three processes of MPI."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = beside if beside.exists() else shutil.which("mpiexec")
    command = [launcher, "-n", 3, sys.executable, "-m", "mpi4py", "-m", "verification.kills_mpi"]
    return run_part(command, ["0", "1", "2"], kills, rng)


def dask(kills, rng):
    """A computation of which a worker is killed."""
    from verification.kills_dask import run

    return run(kills, rng)


PARTS = {
    "training": (training, 100, ()),
    "mpi": (mpi, 20, ("mpi4py",)),
    "dask": (dask, 20, ("dask", "distributed")),
}


def is_missing(part):
    """Whether what the part needs is not installed."""
    no_launcher = part == "mpi" and not (
        Path(sys.executable).with_name("mpiexec").exists() or shutil.which("mpiexec")
    )
    return no_launcher or any(importlib.util.find_spec(name) is None for name in PARTS[part][2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, help="how many of each part, instead of 100, 20 and 20")
    parser.add_argument("--part", choices=PARTS, action="append", help="this part only; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    options = parser.parse_args()
    findings, total = [], 0
    for name in options.part or PARTS:
        part, count, _ = PARTS[name]
        if is_missing(name):
            findings.append(
                f"{name} was not run: pip install 'fastdrop-kernels[hosts]', or choose with --part"
            )
            continue
        found, hit = part(options.kills or count, np.random.default_rng(options.seed))
        total += sum(hit.values())
        findings += [f"{name}: {finding}" for finding in found]
        print(f"{name}: " + ", ".join(f"{count} killed {phase}" for phase, count in sorted(hit.items())))
    for finding in findings:
        print(finding)
    print(f"kills: {total} processes killed, {len(findings)} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
