# SPDX-License-Identifier: BSD-3-Clause
"""Every way of copying and of saving a thing."""

import copy
import json
import pickle


def copies(thing):
    """The thing after every way of copying it."""
    yield copy.copy(thing)
    yield copy.deepcopy(thing)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(thing, protocol))


def through_json(state):
    return json.loads(json.dumps(state, allow_nan=False))
