# SPDX-License-Identifier: BSD-3-Clause
"""Every relative link of a document leads somewhere, and every file of docs/ is linked."""

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


def links(path):
    """The relative links of a document: the path and the part after '#'."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[::2] for target in targets if "://" not in target]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    for target, anchor in links(path):
        found = path.parent / target if target else path
        assert found.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(found), f"{found.name} has no heading #{anchor}"


def test_every_file_of_docs_is_linked_from_a_document():
    linked = {(path.parent / target).resolve() for path in DOCUMENTS for target, _ in links(path) if target}
    files = {path for path in (ROOT / "docs").rglob("*") if path.is_file() and path.name != "README.md"}
    assert files <= linked
