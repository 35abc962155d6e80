# SPDX-License-Identifier: BSD-3-Clause
"""What a training, or an evaluation, does with dropout beside dropping."""

from .layer_list import LayerList
from .monte_carlo import MonteCarlo, mc_dropout
from .schedules import CurriculumSchedule, LinearSchedule, Scheduler

__all__ = [
    "CurriculumSchedule",
    "LayerList",
    "LinearSchedule",
    "MonteCarlo",
    "Scheduler",
    "mc_dropout",
]


def __dir__() -> list[str]:
    return __all__
