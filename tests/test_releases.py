# SPDX-License-Identifier: BSD-3-Clause
"""What every release has kept (`releases.py`) is what the package of today gives."""

import base64
import inspect
import json
import pickle
import re
from pathlib import Path

import pytest

import fastdrop
import release_objects
import release_results
import releases
from release_objects import OBJECTS, after
from release_results import DTYPES, RESULTS, hashes
from saved_stores import KINDS

FOLDERS = sorted(releases.FOLDER.iterdir())
every_release = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
# Public names that give no array and draw nothing.
SETTINGS = {"get_num_threads", "isa", "isas", "set_num_threads", "show_config", "use_isa"}


def rows(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize("dtype", DTYPES)
@every_release
def test_results_are_those_of_the_release(folder, isa, dtype):
    for name, kept in rows(folder, "results").items():
        assert hashes(name, dtype) == kept[dtype], name


@every_release
def test_keys_are_those_of_the_release(folder):
    keys = releases.keys()
    assert rows(folder, "keys").items() <= keys.items()


@every_release
def test_masks_are_those_of_the_release(folder, isa):
    for numbers, bits in rows(folder, "masks"):
        assert releases.mask_bits(**numbers) == bits, numbers


@every_release
def test_pickles_of_the_release_load_and_go_on(folder):
    for name, kept in rows(folder, "objects").items():
        thing = pickle.loads(base64.b64decode(kept["pickle"]))
        assert after(name, thing) == kept["after"], name


@pytest.mark.parametrize("store", KINDS)
@every_release
def test_states_of_the_release_load_and_go_on(folder, store):
    """In a program whose numbers were others."""
    kind, program = KINDS[store], releases.Program()
    before = program.state()
    program.forget()
    assert all(program.state()[name] != before[name] for name in before)
    with (folder / f"state.{kind.ending}").open("rb") as file:
        for state in kind.load(file):
            program.load(state)
    assert program.following() == rows(folder, "following")


def test_every_public_name_has_a_case():
    sources = [inspect.getsource(module) for module in (release_objects, release_results, releases)]
    used = set(re.findall(r"\bfd\.(\w+)", "\n".join(sources)))
    assert set(fastdrop.__all__) - SETTINGS - {"__version__", "reference"} - used == set()
    saved = {name for name in fastdrop.fused.__all__ if name.startswith("Saved")}
    assert saved <= set(OBJECTS)
    assert set(RESULTS) == set(rows(FOLDERS[-1], "results"))
    assert set(OBJECTS) == set(rows(FOLDERS[-1], "objects"))


def test_files_of_a_release_are_small():
    for folder in FOLDERS:
        assert sum(path.stat().st_size for path in Path(folder).iterdir()) < 300_000


def test_a_release_is_not_written_twice():
    with pytest.raises(FileExistsError):
        releases.write(FOLDERS[0])
