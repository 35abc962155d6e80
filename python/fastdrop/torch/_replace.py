# SPDX-License-Identifier: BSD-3-Clause
"""Puts fastdrop into models that others wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Self

from torch import nn

from .. import _checks
from . import modules

# A class of torch and ours for it, which has the same attributes.
_OURS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Dropout: modules.Dropout,
    nn.Dropout1d: modules.Dropout1d,
    nn.Dropout2d: modules.Dropout2d,
    nn.Dropout3d: modules.Dropout3d,
    nn.AlphaDropout: modules.AlphaDropout,
    nn.FeatureAlphaDropout: modules.FeatureAlphaDropout,
    nn.MultiheadAttention: modules.MultiheadAttention,
}
_TORCHS = {ours: torchs for torchs, ours in _OURS.items()}


class Replacement:
    """What `replace_dropout` has replaced.

    Attributes
    ----------
    modules : mapping of str to torch.nn.Module
        The modules that fastdrop works in now, by their names in the model.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1))
    >>> with fastdrop.torch.replace_dropout(model):
    ...     print(type(model[1]).__module__)
    fastdrop.torch.modules
    >>> print(type(model[1]).__module__)
    torch.nn.modules.dropout
    """

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules: Mapping[str, nn.Module] = MappingProxyType(modules)

    def undo(self) -> None:
        """Bring torch's own modules back. Modules that were replaced otherwise meanwhile stay."""
        for module in self.modules.values():
            module.__class__ = _TORCHS.get(type(module), type(module))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def __len__(self) -> int:
        return len(self.modules)

    def __repr__(self) -> str:
        names = [f"{name or 'the model'}: {type(module).__name__}" for name, module in self.modules.items()]
        return _checks.on_one_line("<Replacement ", names, ">")


def replace_dropout(
    model: nn.Module, filter_fn: Callable[[nn.Module, str], bool] | None = None
) -> Replacement:
    """Let fastdrop drop in every module of torch that drops: `torch.nn.Dropout` and its kin, and attention.

    The modules stay where they are, with their hooks, parameters and modes; their class becomes the one of
    `fastdrop.torch`. So `state_dict` is what it was, and references to the modules hold.

    Parameters
    ----------
    model : torch.nn.Module
        A model, or one of these modules.
    filter_fn : callable, optional
        Called with a module and its name in the model. The module is replaced where that returns True.

    Returns
    -------
    Replacement
        What was replaced. Its `undo` brings torch's modules back, as does the end of a ``with`` statement.

    Raises
    ------
    TypeError
        If `model` is not a module.

    Notes
    -----
    Subclasses that others wrote stay as they are, and so does what draws inside compiled code of torch, such
    as `torch.nn.LSTM`. Calls of functions are reached by `replace_functional`.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> model = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    >>> replaced = fastdrop.torch.replace_dropout(model)
    >>> list(replaced.modules)
    ['self_attn', 'dropout', 'dropout1', 'dropout2']
    >>> replaced.undo()
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {_checks.describe(model)}")
    found = {}
    for name, module in model.named_modules():
        if type(module) in _OURS and (filter_fn is None or filter_fn(module, name)):
            found[name] = module
    for module in found.values():
        module.__class__ = _OURS[type(module)]
    return Replacement(found)
