# SPDX-License-Identifier: BSD-3-Clause
"""A copy of the tree where faults are made, built and tested."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import cmake
import ninja
import pybind11

from .mutant import ROOT, Mutant

# An editable install finds its package before PYTHONPATH is looked at. Here the copy is meant.
_SITE = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__name__.startswith("ScikitBuild")]
"""


class BuildError(Exception):
    """A mutant that does not compile."""


class Workshop:
    """A copy of the tree in that folder, with an extension of its own."""

    def __init__(self, folder: Path) -> None:
        self.root, self._build, self._unmutated = folder / "tree", folder / "build", folder / "unmutated"
        self._log = folder / "build.log"
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        for name in names:
            if name and (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(_SITE)
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{self.root / 'python'}{os.pathsep}{folder / 'site'}",
            "PYTHONDONTWRITEBYTECODE": "1",  # a mutant may have the size and the second of what it replaces
        }
        self._configure()
        self._compile()
        shutil.copytree(self._build, self._unmutated)

    def _configure(self) -> None:
        version = tomllib.loads((self.root / "pyproject.toml").read_text())["project"]["version"]
        options = {
            "CMAKE_MAKE_PROGRAM": Path(ninja.BIN_DIR) / "ninja",
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "Python_EXECUTABLE": sys.executable,
            "SKBUILD_PROJECT_NAME": "fastdrop",
            "SKBUILD_PROJECT_VERSION": version,
        }
        tool = [Path(cmake.CMAKE_BIN_DIR) / "cmake", "-S", self.root, "-B", self._build, "-G", "Ninja"]
        self._run([*tool, *(f"-D{name}={value}" for name, value in options.items())])

    def _compile(self) -> None:
        """The extension of what the tree is now, put into the package."""
        self._run([Path(ninja.BIN_DIR) / "ninja", "-C", self._build, "-j1"])
        (extension,) = self._build.glob("_core*.so")
        shutil.copy2(extension, self.root / "python" / "fastdrop")

    def _run(self, command: list[object]) -> None:
        with self._log.open("w") as log:
            code = subprocess.run(
                [*map(str, command)], stdout=log, stderr=subprocess.STDOUT, check=False
            ).returncode
        if code != 0:
            raise BuildError("\n".join(self._log.read_text().splitlines()[-20:]))

    def make(self, mutant: Mutant) -> None:
        """Make the fault, and build what it changes."""
        for file, before, after in mutant.edits:
            path = self.root / file
            path.write_text(path.read_text().replace(before, after))
        if any(edit.file.startswith("csrc/") for edit in mutant.edits):
            self._compile()

    def mend(self, mutant: Mutant) -> None:
        """The tree as it was, with the times of its files, so that the objects built of it are up to date."""
        for file in {edit.file for edit in mutant.edits}:
            shutil.copy2(ROOT / file, self.root / file)
        if any(edit.file.startswith("csrc/") for edit in mutant.edits):
            shutil.rmtree(self._build)
            shutil.copytree(self._unmutated, self._build)
            (extension,) = self._build.glob("_core*.so")
            shutil.copy2(extension, self.root / "python" / "fastdrop")
