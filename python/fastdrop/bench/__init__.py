# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastdrop bench``: what dropout costs here, beside a copy and beside others.

``cases`` says what is measured, in ``kinds`` of cases, ``structured`` which calls are named one by one,
``fused`` which fused operations there are, ``attention`` and ``transformer`` what these take, ``goals`` what
it should come to. ``contenders`` do it: each hands over a ``job``. ``validity``, and the files whose names
end so, look at their answers, ``measure`` times them, ``peak`` asks how much memory a call takes. ``page``
and ``plot`` show it to users, ``report`` to those who work on fastdrop, and ``facts`` says where it was.
``runner`` goes through all that.
"""

from .arguments import add_arguments
from .runner import run

__all__ = ["add_arguments", "run"]
