# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the fused functions of fastdrop.torch share: operands, cases, and NumPy's results."""

from contextlib import nullcontext
from itertools import combinations

import torch

import fastdrop
import fastdrop.torch as ft
from torch_judge import key_words, to_numpy

SHAPE = (3, 5, 37)
OPTIONAL = {
    "bias_dropout_add": ("bias", "residual"),
    "dropout_add_layer_norm": ("residual", "weight", "bias", "x_bias"),
    "dropout_add_rms_norm": ("residual", "weight", "x_bias"),
}
ACTIVATIONS = (None, "relu", "gelu", "gelu_tanh", "silu")
# A mode takes the dispatcher, as compilers do.
PATHS = {"plain": nullcontext, "operator": lambda: torch.device("cpu")}


def subsets(names):
    return [subset for count in range(len(names) + 1) for subset in combinations(names, count)]


# Every operation with every choice of operands, and of the activation.
CASES = [
    (name, given, {"activation": activation} if name == "bias_dropout_add" else {})
    for name, optional in OPTIONAL.items()
    for given in subsets(optional)
    for activation in (ACTIVATIONS if name == "bias_dropout_add" else (None,))
]
FULL = [case for case in CASES if case[1] == OPTIONAL[case[0]]]


def identify(value):
    return f"{value[0]}-{'-'.join(value[1])}-{'-'.join(map(str, value[2].values()))}"


def is_norm(name):
    return name != "bias_dropout_add"


def operands(given, dtype, parameter_dtype=None, shape=SHAPE, seed=0, requires_grad=True):
    """x and those that are given, of normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name in ("x", *given):
        is_full = name in ("x", "residual")
        values = torch.randn(shape if is_full else shape[-1:], generator=generator, dtype=torch.float64)
        own = dtype if is_full else parameter_dtype or dtype
        made[name] = values.to(own).requires_grad_(requires_grad)
    return made


def both(name, tensors, p, path="plain", seed=3, **options):
    """y, and h or None."""
    if is_norm(name):
        options = {"prenorm": True, **options}
    torch.manual_seed(seed)
    with PATHS[path]():
        result = getattr(ft, name)(**tensors, p=p, **options)
    return result if is_norm(name) else (result, None)


def drawn_mask(shape, p, seed=3):
    return fastdrop.Mask(tuple(shape), p, key=key_words(seed))


def of_numpy(name, tensors, mask, dy, dh=None, **options):
    """y, h and the gradients by name, of NumPy's functions."""
    arrays = {key: to_numpy(tensor) for key, tensor in tensors.items()}
    y, saved = getattr(fastdrop, name)(**arrays, mask=mask, **options)
    extra = {} if dh is None else {"dh": to_numpy(dh)}
    found = getattr(fastdrop, f"{name}_backward")(to_numpy(dy), saved, **extra)._asdict()
    gradients = {key: found.get(f"d{key}", to_numpy(dy)) for key in tensors}
    return y, getattr(saved, "h", None), gradients
