# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastdrop bench``: what dropout costs here, beside a copy and beside others.

``cases`` says what is measured, in ``kinds`` of cases, ``structured`` which calls are named one by one,
``fused`` which fused operations there are, ``goals`` what it should come to. ``contenders`` do it: each hands
over a ``job``. ``validity`` and ``fused_validity`` look at their answers, ``measure`` times them. ``page``
and ``plot`` show it to users, ``report`` to those who work on fastdrop, and ``facts`` says where it was.
``runner`` goes through all that.
"""

from .arguments import add_arguments
from .runner import run

__all__ = ["add_arguments", "run"]
