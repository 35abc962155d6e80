# SPDX-License-Identifier: BSD-3-Clause
"""A transformer's step: its matrix products alone, which are the floor, and with dropout by everybody."""

import functools
import importlib
from importlib.util import find_spec
from typing import Any

import numpy as np

from .. import validity
from ..cases import Case, Choice, Data
from ..goals import PRODUCTS
from ..job import Answer, Job, fastdrop_with
from ..transformer import Start
from ..transformer_textbook import Textbook, products
from ..transformer_validity import step_right
from .contender import FASTDROP, NUMPY, NUMPYS_OWN, Contender
from .transformer_fastdrop import Transformer
from .transformer_hosts import hosts


def transformer_steps(case: Case, choice: Choice) -> list[Contender]:
    """The products alone, and who makes the step; textbook NumPy if SciPy has its error function."""
    best = choice.isas[0]
    ours = functools.partial(_ours, isa=best)
    floor = ("floor", np.__version__)
    alone = "the matrix products of the step, NumPy's; those of attention by whole matrices, scores twice"
    reused = "all arrays reused, products with out=; a new mask for every forward pass"
    textbook = (
        "the formulas as they stand in textbooks, in float32; scipy.special.erf; new arrays in every step"
    )
    contenders = [
        Contender(PRODUCTS, *floor, alone, _products, validity.anything, NUMPYS_OWN),
        Contender(f"fastdrop {best}", *FASTDROP, reused, ours, step_right(ours)),
    ]
    if find_spec("scipy"):
        contenders.append(
            Contender("numpy textbook", *NUMPY, textbook, _textbook, step_right(_textbook), NUMPYS_OWN)
        )
    return [*contenders, *hosts(case, choice)]


def _products(case: Case, data: Data) -> Job:
    run, kept_bytes = products(Start(case, data))
    return Job(run, lambda: Answer(None), kept_bytes=kept_bytes)


def _ours(case: Case, data: Data, isa: str) -> Job:
    network = Transformer(Start(case, data), case.p)

    def answer() -> Answer:
        y = network.forward().copy()
        _, dx = network.backward(y)
        return Answer(y, dx, others=network.gradients)

    def setting() -> Any:
        return fastdrop_with(isa, case.threads)

    return Job(network.step, answer, setting, kept_bytes=network.kept_bytes)


def _textbook(case: Case, data: Data) -> Job:
    network = Textbook(Start(case, data), case.p, importlib.import_module("scipy.special").erf)

    def answer() -> Answer:
        y, saved = network.forward()
        _, dx = network.backward(y, saved)
        return Answer(y, dx, others=network.gradients)

    return Job(network.step, answer)


CONTENDERS = {"transformer_step": transformer_steps}
