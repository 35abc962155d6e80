# SPDX-License-Identifier: BSD-3-Clause
"""The examples in the docstrings print what they say, and the README's code runs."""

import doctest
import importlib
import re
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["alpha", "functional", "gaussian", "layers", "mask", "mask_generator"])
def test_examples_in_docstrings(name):
    failed, attempted = doctest.testmod(importlib.import_module(f"fastdrop.{name}"))
    assert attempted > 0
    assert failed == 0


def test_the_code_in_the_readme_runs():
    """Its last line applies the shard in place, so zeros are where that shard drops."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    names = {}
    exec(code, names)
    assert ((names["x"] == 0) == ~names["shard"].to_numpy()).all()
