# SPDX-License-Identifier: BSD-3-Clause
"""A mode in which torch's functions for dropout are fastdrop's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from . import _attention, functional
from ._internals import with_names


def _as_torchs(function: Callable[..., Any], inplace: bool) -> Callable[..., Any]:
    """By the names of `torch.dropout` and its kin, which have no default values."""

    def dropout(input: Any, p: float, train: bool) -> Any:
        return function(input, p, train, inplace)

    return dropout


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    torch.dropout: _as_torchs(functional.dropout, False),
    torch.dropout_: _as_torchs(functional.dropout, True),
    torch.alpha_dropout: _as_torchs(functional.alpha_dropout, False),
    torch.alpha_dropout_: _as_torchs(functional.alpha_dropout, True),
    torch.feature_alpha_dropout: _as_torchs(functional.feature_alpha_dropout, False),
    torch.feature_alpha_dropout_: _as_torchs(functional.feature_alpha_dropout, True),
    F.dropout: functional.dropout,
    F.dropout1d: functional.dropout1d,
    F.dropout2d: functional.dropout2d,
    F.dropout3d: functional.dropout3d,
    F.alpha_dropout: functional.alpha_dropout,
    F.feature_alpha_dropout: functional.feature_alpha_dropout,
    F.scaled_dot_product_attention: _attention.scaled_dot_product_attention,
    F.multi_head_attention_forward: _attention.multi_head_attention_forward,
}


def _unwatched(function: Any) -> Any:
    """The function, which does not ask whether there are modes."""
    return with_names(function, has_torch_function=_none, has_torch_function_unary=_none)


def _none(_: Any) -> bool:
    return False


# torch leaves the mode while it runs these. In checkpoints they call functions of the forward pass again.
_BACKWARD = {
    function: _unwatched(function)
    for function in (torch.Tensor.backward, torch.autograd.backward, torch.autograd.grad)
}


class replace_functional(TorchFunctionMode):  # noqa: N801 -- called as a function
    """Within the statement, calls of torch's dropout functions are calls of fastdrop's.

    This reaches code that does not use modules: ``F.dropout(x, p)``, `torch.dropout`, the other kinds, and
    the dropout inside `F.scaled_dot_product_attention` and `F.multi_head_attention_forward`. It holds in the
    thread that entered the statement. Dropout inside compiled code of torch, such as that of `torch.nn.LSTM`,
    is not reached.

    Every call of a function of torch takes about a microsecond longer within the statement. If the model
    uses `torch.utils.checkpoint`, call ``backward`` within the statement too: it computes parts of the
    forward pass again.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> x = torch.ones(8)
    >>> with fastdrop.torch.replace_functional():
    ...     _ = torch.manual_seed(0)
    ...     y = torch.nn.functional.dropout(x, 0.5)
    >>> _ = torch.manual_seed(0)
    >>> bool((y == fastdrop.torch.dropout(x, 0.5)).all())
    True
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _BACKWARD:
            with self:
                return _BACKWARD[func](*args, **(kwargs or {}))
        return _FUNCTIONS.get(func, func)(*args, **(kwargs or {}))
