# SPDX-License-Identifier: BSD-3-Clause
"""An environment that is not as it should be: files of others, a missing core, a sub-interpreter."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastdrop
from processes import python

PACKAGE = Path(fastdrop.show_config("dict")["location"])
SOURCES = Path(fastdrop.__file__).parent
REMEDY = "Run 'pip uninstall fastdrop fastdrop-kernels', and install fastdrop-kernels again."
OTHER = "The unrelated distribution 'fastdrop' 2.1 is installed too, in "


def record(site, name, version, files):
    """Write the metadata of a distribution with these files."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    rows = []
    for path in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        rows.append(f"{path.relative_to(site)},sha256={digest},{path.stat().st_size}\n")
    (info / "RECORD").write_text("".join(rows))


@pytest.fixture
def site(tmp_path):
    """A folder with fastdrop-kernels installed."""
    shutil.copytree(SOURCES, tmp_path / "fastdrop", ignore=shutil.ignore_patterns("__pycache__"))
    for core in PACKAGE.glob("_core*.so"):  # of an editable installation it lies elsewhere
        shutil.copy(core, tmp_path / "fastdrop")
    files = [path for path in (tmp_path / "fastdrop").rglob("*") if path.is_file()]
    record(tmp_path, "fastdrop-kernels", "0.1.0", files)
    numpy = Path(np.__file__).parent
    for folder in (numpy, numpy.with_name("numpy.libs")):  # beside NumPy there may be another fastdrop
        if folder.is_dir():
            (tmp_path / folder.name).symlink_to(folder)
    return tmp_path


def file_server(site, *names):
    """Lay the other distribution over it; the names are of its files."""
    for name in names:
        (site / "fastdrop" / name).write_text("serving = True\n")
    record(site, "fastdrop", "2.1", [site / "fastdrop" / name for name in names])


def alone(site, *arguments, code=0):
    """Run Python with this installation of fastdrop: -S leaves out the hooks of editable ones."""
    return python("-S", *arguments, code=code, PYTHONPATH=str(site))


def info(site, *arguments, code=0):
    return alone(site, "-m", "fastdrop", "info", *arguments, code=code)


def faults(site):
    output, errors = info(site, "--json")
    assert errors == ""
    return json.loads(output)["installation faults"]


def test_nothing_is_wrong_with_what_was_installed(site):
    assert faults(site) == []
    assert "installation faults:" in info(site)[0]


def test_the_file_server_installed_before_is_named(site):
    """Ours has overwritten its files, but for those that we do not have."""
    file_server(site, "server.py")
    assert faults(site) == [
        f"{OTHER}{site}.", "These files are not of fastdrop-kernels: fastdrop/server.py.", REMEDY
    ]  # fmt: skip


def test_the_file_server_installed_after_is_named(site):
    file_server(site, "__init__.py", "server.py")
    output, errors = info(site, code=2)
    assert output == ""
    changed = "These files of fastdrop-kernels are missing or were changed: fastdrop/__init__.py."
    assert errors.startswith("fastdrop/__init__.py is not that of fastdrop-kernels. ")
    assert f" {OTHER}{site}. {changed} " in errors
    assert errors.endswith(f"{REMEDY}\n")


def test_what_the_removal_of_the_file_server_took_along_is_named(site):
    (site / "fastdrop" / "__init__.py").unlink()
    _, errors = info(site, code=2)
    assert "missing or were changed: fastdrop/__init__.py. Run" in errors
    assert "installed too" not in errors


def test_several_files_that_were_changed_are_counted(site):
    for name in ("config.py", "layers.py", "py.typed"):
        (site / "fastdrop" / name).write_text((site / "fastdrop" / name).read_text() + "\n")
    changed = "These files of fastdrop-kernels are missing or were changed: fastdrop/config.py and 2 more."
    assert faults(site) == [changed, REMEDY]


def test_an_editable_installation_is_as_it_should_be(site):
    """Its record has none of the sources."""
    shutil.rmtree(site / "fastdrop_kernels-0.1.0.dist-info")
    record(site, "fastdrop-kernels", "0.1.0", [])
    (site / "fastdrop" / "config.py").write_text((site / "fastdrop" / "config.py").read_text() + "\n")
    assert faults(site) == []


IMPORT = """
try:
    import fastdrop
except ImportError as error:
    print(error)
"""


def complaint(site):
    return alone(site, "-c", IMPORT)[0].strip()


def test_import_without_the_core_says_what_to_do(site):
    assert complaint(site) == ""
    for core in (site / "fastdrop").glob("_core*.so"):
        core.unlink()
    message = complaint(site)
    assert message.startswith("fastdrop's compiled core is missing: install it with 'pip install fastdrop-k")
    assert "missing or were changed: fastdrop/_core." in message
    file_server(site, "server.py")
    assert f"{OTHER}{site}." in complaint(site)


def test_import_of_a_core_that_cannot_be_loaded_says_why(site):
    for core in (site / "fastdrop").glob("_core*.so"):
        core.write_bytes(b"nothing that can be loaded")
    message = complaint(site)
    assert message.startswith("fastdrop's compiled core cannot be loaded: ")
    assert "_core" in message


# What sub-interpreters are made with, by version of Python: 3.14's is public; the last is of every version.
MAKERS = {
    "concurrent.interpreters": "maker.create().exec(CODE)",
    "_interpreters": "maker.exec(maker.create('legacy'), CODE)",
    "_xxsubinterpreters": "maker.run_string(maker.create(isolated=False), CODE)",
    "_testcapi": "maker.run_in_subinterp(CODE)",
}


def can_import(name):
    code = f"import {name}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("before", ["", "import fastdrop"], ids=["only there", "in both"])
def test_a_sub_interpreter_is_refused(before):
    """Instead of a wait without an end, which `run` takes for a failure."""
    makers = {name: call for name, call in MAKERS.items() if can_import(name)}
    assert makers
    for name, call in makers.items():
        code = f"{before}\nCODE = {IMPORT!r}\nimport {name} as maker\n{call}\n"
        output, errors = python("-c", code)
        assert "sub-interpreter" in output or "subinterpreter" in output, (name, errors)
        assert output.startswith("fastdrop's compiled core cannot be loaded: ")
