# SPDX-License-Identifier: BSD-3-Clause
"""A plugin for pytest: fastdrop's layers stand where those of a host stood, so that its own tests judge them.

It is loaded into a process that runs tests of the host's package: see test_their_own_tests.py.
"""

import importlib
import os
import pkgutil
import sys
import unittest.mock


def replace(package, theirs, ours):
    """Put ours into every module of the package that has imported theirs."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == package and not name.startswith(f"{package}.tests"):
            for attribute, value in list(vars(module).items()):
                if value is theirs:
                    setattr(module, attribute, ours)


def keras():
    from keras import layers

    from fastdrop import keras as ours

    for name in ours.__all__:
        replace("keras", getattr(layers, name), getattr(ours, name))


def thinc():
    sys.modules.setdefault("mock", unittest.mock)  # the package of that name, which thinc's tests still want
    layers = importlib.import_module("thinc.layers")
    for module in pkgutil.iter_modules(layers.__path__, "thinc.layers."):
        importlib.import_module(module.name)
    importlib.import_module("thinc.api")
    from fastdrop.thinc import Dropout

    replace("thinc", layers.Dropout, Dropout)


{"keras": keras, "thinc": thinc}[os.environ["FASTDROP_IN_PLACE_OF"]]()
