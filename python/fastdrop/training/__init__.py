# SPDX-License-Identifier: BSD-3-Clause
"""What a training, or an evaluation, does with dropout beside dropping."""

from .monte_carlo import MonteCarlo, mc_dropout
from .schedules import CurriculumSchedule, LinearSchedule, Scheduler

__all__ = [
    "CurriculumSchedule",
    "LinearSchedule",
    "MonteCarlo",
    "Scheduler",
    "mc_dropout",
]


def __dir__() -> list[str]:
    return __all__
