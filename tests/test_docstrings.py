# SPDX-License-Identifier: BSD-3-Clause
"""The examples in the docstrings print what they say, and the README's code runs."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

MODULES = ["functional", "layers", "mask", "mask_generator", "training.monte_carlo", "training.schedules"]
KINDS = ["alpha", "channel", "drop_block", "drop_connect", "drop_path", "embedding", "gaussian", "locked"]


@pytest.mark.parametrize("name", MODULES + [f"kinds.{name}" for name in KINDS])
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


def test_the_code_in_the_document_of_kinds_runs():
    """In the order of the document, with the assertions that it has itself."""
    document = (Path(__file__).parents[1] / "docs" / "kinds.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    assert len(blocks) >= 9
    names = {}
    for code in blocks:
        exec(code, names)
    assert names["result"].entropy.shape == (8,)
    assert abs(names["d_scores"].sum(axis=-1)).max() < 1e-4  # softmax does not see a shift of the scores
