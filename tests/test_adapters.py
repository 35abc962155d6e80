# SPDX-License-Identifier: BSD-3-Clause
"""Modules for arrays of other libraries, where the library is missing; host_tests/ has the rest."""

import subprocess
import sys
from pathlib import Path

import pytest

import fastdrop

PACKAGE = Path(fastdrop.__file__).parent
# An adapter's name, the module of its host, and what its users call the host.
HOSTS = {
    "autograd": ("autograd", "HIPS autograd"),
    "dask": ("dask", "Dask"),
    "jax": ("jax", "JAX"),
    "keras": ("keras", "Keras"),
    "thinc": ("thinc", "thinc"),
    "torch": ("torch", "PyTorch"),
}


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("adapter", HOSTS)
def test_an_adapter_without_its_host_says_what_to_install(adapter):
    module, name = HOSTS[adapter]
    done = run(f"import sys; sys.modules[{module!r}] = None\nimport fastdrop.{adapter}")
    wanted = f"fastdrop.{adapter} needs {name}: install both with pip install 'fastdrop-kernels[{adapter}]'"
    assert done.stderr.splitlines()[-1] == f"ImportError: {wanted}"


def test_the_package_imports_no_host():
    hosts = {module for module, _ in HOSTS.values()}
    done = run(f"import sys, fastdrop, fastdrop.selftest; print({hosts!r} & set(sys.modules))")
    assert done.stdout.split() == ["set()"], done.stderr
