# SPDX-License-Identifier: BSD-3-Clause
"""Tests that hosts ship in their packages, run with fastdrop's layers in the place of theirs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastdrop

HERE = Path(__file__).parent
PACKAGE = str(Path(fastdrop.__file__).parents[1])
KERAS = (
    "keras.src.layers.regularization.dropout_test",
    "keras.src.layers.regularization.spatial_dropout_test",
)
THINC = (
    "thinc.tests.layers.test_feed_forward",
    "thinc.tests.layers.test_layers_api",
    "thinc.tests.layers.test_linear",
    "thinc.tests.model.test_model",
    "thinc.tests.model.test_validation",
    "thinc.tests.test_config",
    "thinc.tests.test_serialize",
)


def run_in_place(host, modules, folder, **environment):
    """How many of those tests passed; none may fail."""
    paths = os.pathsep.join(filter(None, [PACKAGE, str(HERE), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "in_place_of_theirs", "--pyargs", *modules]
    environment = {**os.environ, **environment, "PYTHONPATH": paths, "FASTDROP_IN_PLACE_OF": host}
    # In an empty folder, so that nothing of this repository's configuration counts.
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return int(re.search(r"(\d+) passed", done.stdout)[1])


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_of_keras(backend, tmp_path):
    assert run_in_place("keras", KERAS, tmp_path, KERAS_BACKEND=backend) >= 20  # 23 in Keras 3.15.1


def test_of_thinc(tmp_path):
    assert run_in_place("thinc", THINC, tmp_path) >= 300  # 358 in thinc 9.1.1
