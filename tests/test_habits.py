# SPDX-License-Identifier: BSD-3-Clause
"""What runs at a commit and in CI is what a person runs at home, with the same versions."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pins(requirements):
    """The exact versions among some requirements, as a set for each name."""
    found = {}
    for name, version in re.findall(r"([\w-]+)==([\w.]+)", requirements):
        found.setdefault(name, set()).add(version)
    return found


def test_a_commit_is_checked_by_the_versions_of_the_lint_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = pins(" ".join(project["optional-dependencies"]["lint"]))
    assert wanted.keys() == {"clang-format", "codespell", "mypy", "ruff"}
    hooks = pins((ROOT / ".pre-commit-config.yaml").read_text())
    assert {name: hooks.get(name) for name in wanted} == wanted


def test_every_hook_comes_from_the_package_index():
    """A hook of another repository would be fetched from a host of its own."""
    repositories = re.findall(r"repo: *(\S+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert set(repositories) == {"local"}


def test_a_workflow_only_calls_what_a_person_can_call():
    workflows = sorted((ROOT / ".github" / "workflows").iterdir())
    assert workflows
    for path in workflows:
        steps = re.findall(r"^ +- (.*)$", path.read_text(), re.MULTILINE)
        assert [step for step in steps if not step.startswith("uses: actions/checkout@")] == ["run: .ci/run"]


def test_forms_ask_for_what_they_need():
    forms = ROOT / ".github"
    for name in ("bug.yml", "performance.yml"):
        assert "python -m fastdrop info" in (forms / "ISSUE_TEMPLATE" / name).read_text()
    request = (forms / "PULL_REQUEST_TEMPLATE.md").read_text()
    assert "## Figures" in request
    assert "## Stream" in request
