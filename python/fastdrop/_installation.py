# SPDX-License-Identifier: BSD-3-Clause
"""Whether this folder holds what was installed, and nothing of the file server that has the same import name.

pip lets one distribution overwrite or remove the files of another. So this module needs no other file.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "fastdrop-kernels"
_OTHER = "fastdrop"  # on the package index
_FOLDER = Path(__file__).resolve().parent
_REMEDY = f"Run 'pip uninstall {_OTHER} {DISTRIBUTION}', and install {DISTRIBUTION} again."


def faults() -> list[str]:
    """What is wrong with the installed files, and what to do: sentences."""
    found = []
    if other := _find(_OTHER):
        place = other.locate_file("")
        found.append(f"The unrelated distribution '{_OTHER}' {other.version} is installed too, in {place}.")
    recorded = _recorded_files()
    changed = [name for name, digest in recorded.items() if digest != _digest(_FOLDER.parent / name)]
    if changed:
        found.append(f"These files of {DISTRIBUTION} are missing or were changed: {_listed(changed)}.")
    here = {str(path.relative_to(_FOLDER.parent)) for path in _FOLDER.rglob("*.py")}
    if recorded and here - set(recorded):
        found.append(f"These files are not of {DISTRIBUTION}: {_listed(here - set(recorded))}.")
    return [*found, _REMEDY] if found else []


def import_error(error: ImportError) -> ImportError:
    """What to raise if the core does not come."""
    if isinstance(error, ModuleNotFoundError):
        text = (
            f"fastdrop's compiled core is missing: install it with 'pip install {DISTRIBUTION}', or with "
            "'pip install .' in a clone (this needs a C++17 compiler)."
        )
    else:
        text = f"fastdrop's compiled core cannot be loaded: {error}."
    return ImportError(" ".join([text, *faults()]))


def host_error(adapter: str, host: str, extra: str) -> ImportError:
    """What to raise if a library is missing that a module of fastdrop brings dropout to."""
    text = f"{adapter} needs {host}: install both with pip install '{DISTRIBUTION}[{extra}]'"
    return ImportError(text, name=host)


def _find(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _recorded_files() -> dict[str, str]:
    """The files of this folder and their digests, as pip recorded them; none of an editable installation."""
    ours = _find(DISTRIBUTION)
    if ours is None or Path(str(ours.locate_file(_FOLDER.name))).resolve() != _FOLDER:
        return {}
    # Not `files` of the distribution, which from Python 3.12 on leaves out what is missing.
    rows = csv.reader((ours.read_text("RECORD") or "").splitlines())
    files = {
        name: digest.partition("=")[2]
        for name, digest, _ in rows
        if digest and name.startswith(f"{_FOLDER.name}/")
    }
    return files if f"{_FOLDER.name}/__init__.py" in files else {}


def _digest(path: Path) -> str | None:
    """As in a RECORD (PEP 376, PEP 427)."""
    if not path.is_file():
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()


def _listed(names: list[str] | set[str]) -> str:
    first, *others = sorted(names)
    return f"{first} and {len(others)} more" if others else first
