# SPDX-License-Identifier: BSD-3-Clause
"""Where a state may be saved: each store yields what loading gives, while its file is open."""

import io
import json
import pickle

import h5py
import numpy as np


def through_json(state):
    yield json.loads(json.dumps(state, allow_nan=False))


def through_pickle(state):
    yield pickle.loads(pickle.dumps(state))


def through_npz(state):
    """Nested dicts become objects, which NumPy pickles."""
    file = io.BytesIO()
    np.savez(file, **state)
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=True) as archive:
        yield archive


def through_npy(state):
    file = io.BytesIO()
    np.save(file, state)
    yield np.load(io.BytesIO(file.getvalue()), allow_pickle=True)


def through_flat_npz(state):
    """Without pickle: a name for every leaf."""
    file = io.BytesIO()
    np.savez(file, **dict(leaves(state)))
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as archive:
        nested = {}
        for path in archive:
            *folders, name = path.split("/")
            place = nested
            for folder in folders:
                place = place.setdefault(folder, {})
            place[name] = archive[path]
        yield nested


def hdf5(write):
    def through_hdf5(state):
        with h5py.File(io.BytesIO(), "w") as file:
            write(file.create_group("saved"), state)
            yield read(file["saved"])

    def read(group):
        nested = {name: read(group[name]) for name in group if isinstance(group[name], h5py.Group)}
        return {**group.attrs, **nested} if group.attrs or write is write_attributes else group

    return through_hdf5


def write_attributes(group, state):
    for name, value in state.items():
        if isinstance(value, dict):
            write_attributes(group.create_group(name), value)
        else:
            group.attrs[name] = value


def write_data_sets(group, state):
    for name, value in state.items():
        if isinstance(value, dict):
            write_data_sets(group.create_group(name), value)
        else:
            group[name] = value


STORES = {
    "JSON": through_json,
    "pickle": through_pickle,
    "npz": through_npz,
    "npy": through_npy,
    "npz without pickle": through_flat_npz,
    "HDF5, attributes": hdf5(write_attributes),
    "HDF5, data sets": hdf5(write_data_sets),
}


def leaves(state, path=""):
    for name, value in state.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}/")
        else:
            yield f"{path}{name}", value
