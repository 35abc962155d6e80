# SPDX-License-Identifier: BSD-3-Clause
"""Who does the job of a case.

Every file has ``CONTENDERS``: for each kind of case that it knows, a function from the case and the user's
choice to the contenders, the floor first.
"""

from collections.abc import Callable, Sequence

from ..cases import Case, Choice
from . import (
    alpha_gaussian,
    attention,
    dask_arrays,
    fastdrop,
    fused,
    jax_arrays,
    keep_mask,
    sharing,
    small_calls,
    softmax,
    stored_masks,
    structured,
    torch_tensors,
    train_step,
    transformer,
    transposed,
)
from .contender import Contender

__all__ = ["CONTENDERS", "Contender", "contenders_for"]

CONTENDERS: dict[str, Callable[[Case, Choice], list[Contender]]] = {
    **fastdrop.CONTENDERS,
    **alpha_gaussian.CONTENDERS,
    **keep_mask.CONTENDERS,
    **sharing.CONTENDERS,
    **small_calls.CONTENDERS,
    **stored_masks.CONTENDERS,
    **structured.CONTENDERS,
    **fused.CONTENDERS,
    **torch_tensors.CONTENDERS,
    **jax_arrays.CONTENDERS,
    **dask_arrays.CONTENDERS,
    **train_step.CONTENDERS,
    **transposed.CONTENDERS,
    **softmax.CONTENDERS,
    **attention.CONTENDERS,
    **transformer.CONTENDERS,
}


def contenders_for(case: Case, rivals: Sequence[Contender], choice: Choice) -> list[Contender]:
    """Everybody who does the job of that case, the floor first; the rivals do plain dropout."""
    return [*CONTENDERS[case.kind](case, choice), *(rivals if case.kind == "dropout" else [])]
