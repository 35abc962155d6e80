# SPDX-License-Identifier: BSD-3-Clause
"""Documents name files that exist, by links and by paths, and every file of docs/ is linked."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / name for name in (".github", "bench", "csrc", "docs", "examples")]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in folder.rglob("*.md"))])


def anchors(path):
    """The anchors of a document's headings, as its host makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def prose(path):
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(path):
    """The relative links of a document: the path and the part after '#'."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    return [target.partition("#")[::2] for target in targets if "://" not in target]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    for target, anchor in links(path):
        found = path.parent / target if target else path
        assert found.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(found), f"{found.name} has no heading #{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_of_files_are_whole(path):
    """From the root of the repository or from the document's folder."""
    for name in re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.\w+)`", prose(path)):
        assert (ROOT / name).is_file() or (path.parent / name).is_file(), f"{name} does not exist"


def test_every_file_of_docs_is_linked_from_a_document():
    linked = {(path.parent / target).resolve() for path in DOCUMENTS for target, _ in links(path) if target}
    files = {path for path in (ROOT / "docs").rglob("*") if path.is_file() and path.name != "README.md"}
    assert files <= linked
