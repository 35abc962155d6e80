# SPDX-License-Identifier: BSD-3-Clause
"""Keras on each backend, in a process of its own: a process has one backend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastdrop

CASES = Path(__file__).with_name("keras_cases.py")
# pyproject.toml makes warnings errors; Keras and its backends warn about themselves.
PYTEST = [sys.executable, "-m", "pytest", "-q", "-W", "default", str(CASES)]
PACKAGE = str(Path(fastdrop.__file__).parents[1])


def run(arguments, backend):
    paths = os.pathsep.join(filter(None, [PACKAGE, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": paths}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_backend(backend):
    done = run(PYTEST, backend)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_a_backend_loads_no_other(backend):
    code = "import fastdrop, sys; assert 'keras' not in sys.modules; import fastdrop.keras; print(*sys.modules)"
    done = run([sys.executable, "-c", code], backend)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"fastdrop.keras._numpy", "fastdrop.keras._torch", "fastdrop.keras._jax"} & loaded == {
        f"fastdrop.keras._{backend}"
    }


def test_another_backend_is_refused(tmp_path):
    """A stand-in for Keras on TensorFlow, which need not be installed."""
    (tmp_path / "keras.py").write_text("class backend:\n    backend = staticmethod(lambda: 'tensorflow')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fastdrop.keras"
    done = run([sys.executable, "-c", code], "tensorflow")
    assert "ImportError: fastdrop.keras works on Keras's backends numpy, torch and jax, not on" in done.stderr
    assert "tensorflow: set KERAS_BACKEND before the first import of keras" in done.stderr
