# SPDX-License-Identifier: BSD-3-Clause
"""Where a state may be saved: each store writes a file, and yields what loading gives while it is open."""

import io
import json
import pickle

import h5py
import numpy as np


class Json:
    ending = "json"

    def save(self, state, file):
        file.write(json.dumps(state, allow_nan=False).encode())

    def load(self, file):
        yield json.load(file)


class Pickle:
    ending = "pickle"

    def save(self, state, file):
        pickle.dump(state, file, protocol=4)  # the one that every supported version of Python writes

    def load(self, file):
        yield pickle.load(file)


class Npz:
    """Nested dicts become objects, which NumPy pickles."""

    ending = "npz"

    def save(self, state, file):
        np.savez(file, **state)

    def load(self, file):
        with np.load(file, allow_pickle=True) as archive:
            yield archive


class Npy:
    ending = "npy"

    def save(self, state, file):
        np.save(file, state)

    def load(self, file):
        yield np.load(file, allow_pickle=True)


class FlatNpz:
    """Without pickle: a name for every leaf."""

    ending = "flat.npz"

    def save(self, state, file):
        np.savez(file, **dict(leaves(state)))

    def load(self, file):
        with np.load(file, allow_pickle=False) as archive:
            nested = {}
            for path in archive:
                *folders, name = path.split("/")
                place = nested
                for folder in folders:
                    place = place.setdefault(folder, {})
                place[name] = archive[path]
            yield nested


class Attributes:
    """Of the groups of an HDF5 file."""

    ending = "attributes.h5"

    def save(self, state, file):
        with h5py.File(file, "w", libver="v110") as archive:
            self.write(archive.create_group("saved"), state)

    def load(self, file):
        with h5py.File(file, "r") as archive:
            yield self.read(archive["saved"])

    def write(self, group, state):
        for name, value in state.items():
            if isinstance(value, dict):
                self.write(group.create_group(name), value)
            else:
                self.write_leaf(group, name, value)

    def write_leaf(self, group, name, value):
        group.attrs[name] = value

    def read(self, group):
        return {**group.attrs, **{name: self.read(group[name]) for name in group}}


class DataSets(Attributes):
    """Of the groups of an HDF5 file, which is read as it is."""

    ending = "data-sets.h5"

    def write_leaf(self, group, name, value):
        group[name] = value

    def read(self, group):
        return group


KINDS = {
    "JSON": Json(),
    "pickle": Pickle(),
    "npz": Npz(),
    "npy": Npy(),
    "npz without pickle": FlatNpz(),
    "HDF5, attributes": Attributes(),
    "HDF5, data sets": DataSets(),
}


def through(kind):
    def back(state):
        file = io.BytesIO()
        kind.save(state, file)
        file.seek(0)
        yield from kind.load(file)

    return back


STORES = {name: through(kind) for name, kind in KINDS.items()}
through_json = STORES["JSON"]


def leaves(state, path=""):
    for name, value in state.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}/")
        else:
            yield f"{path}{name}", value
