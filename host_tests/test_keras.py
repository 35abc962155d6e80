# SPDX-License-Identifier: BSD-3-Clause
"""Keras on each backend, in a process of its own: a process has one backend."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastdrop

CASES = Path(__file__).with_name("keras_cases.py")
# pyproject.toml makes warnings errors; Keras and its backends warn about themselves.
PYTEST = [sys.executable, "-m", "pytest", "-q", "-W", "default", str(CASES)]
PACKAGE = str(Path(fastdrop.__file__).parents[1])


def run(arguments, backend):
    paths = os.pathsep.join(filter(None, [PACKAGE, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": paths}
    return subprocess.run(
        arguments, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_backend(backend):
    done = run(PYTEST, backend)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_masks_of_seeds_and_calls_that_follow_each_other_are_independent():
    """The seeds are neighbours. Two independent masks of 2**20 elements at p = 0.5 agree in half of them; the
    share is off by 6 standard deviations, 6 * 2**-11, once in 10**9. Blocks of two keys that are equal after
    the first step of ARS, counter XOR key, are compared too."""
    size, block = 2**20, np.arange(2**17)
    kept = {}
    for seed in range(4):
        for call in range(3):
            mask = fastdrop.Mask(size, 0.5, key=(seed, 0, 0, 0), stream=call)
            kept[seed, call] = mask.to_numpy().reshape(-1, 8)
    for (a, one), (b, other) in ((a, b) for a in kept for b in kept if a < b):
        for order in (block, block ^ (a ^ b)):
            agreement = (kept[a, one] == kept[b, other][order]).mean()
            assert abs(agreement - 0.5) < 6 * 2.0**-11


def test_another_backend_is_refused(tmp_path):
    """A stand-in for Keras on TensorFlow, which need not be installed."""
    (tmp_path / "keras.py").write_text("class backend:\n    backend = staticmethod(lambda: 'tensorflow')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fastdrop.keras"
    done = run([sys.executable, "-c", code], "tensorflow")
    assert "ImportError: fastdrop.keras works on Keras's backends numpy, torch and jax, not on" in done.stderr
    assert "tensorflow: set KERAS_BACKEND before the first import of keras" in done.stderr
