# SPDX-License-Identifier: BSD-3-Clause
"""The examples in the docstrings print what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["functional", "layers", "mask"])
def test_examples_in_docstrings(name):
    failed, attempted = doctest.testmod(importlib.import_module(f"fastdrop.{name}"))
    assert attempted > 0
    assert failed == 0
