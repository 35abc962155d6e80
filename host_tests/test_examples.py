# SPDX-License-Identifier: BSD-3-Clause
"""The examples of every adapter: in its docstrings, and on its page in docs/hosts/."""

import doctest
import importlib
import os
import re
from pathlib import Path

import pytest

import fastdrop

os.environ.setdefault("KERAS_BACKEND", "torch")  # as on Keras's page: a process has one
ROOT = Path(__file__).parents[1]
# Keras's tensors complain so when Keras makes them arrays of NumPy.
pytestmark = pytest.mark.filterwarnings("default:__array__ implementation:DeprecationWarning")
PACKAGE = Path(fastdrop.__file__).parent
PAGES = sorted(path for path in (ROOT / "docs" / "hosts").glob("*.md") if path.stem != "README")
HOSTS = [page.stem for page in PAGES]  # every adapter has a page of its name


def modules(host):
    """An adapter is one file, or a folder."""
    paths = sorted((PACKAGE / host).glob("*.py")) or [PACKAGE / f"{host}.py"]
    names = (".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths)
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("host", HOSTS)
def test_examples_in_docstrings_print_what_they_say(host):
    tried = 0
    for name in modules(host):
        failed, count = doctest.testmod(importlib.import_module(name))
        assert failed == 0
        tried += count
    assert tried


@pytest.mark.parametrize("host", HOSTS)
def test_every_public_name_has_an_example(host):
    module = importlib.import_module(f"fastdrop.{host}")
    for name in module.__all__:
        found = doctest.DocTestFinder().find(getattr(module, name), name, module=False)
        assert any(test.examples for test in found), name


@pytest.mark.parametrize("page", PAGES, ids=HOSTS)
def test_the_code_of_the_page_runs(page):
    """In the order of the page, with the assertions that it has itself."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    names = {"__name__": "__main__"}
    for code in blocks:
        exec(code, names)
