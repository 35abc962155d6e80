# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of fastdrop.torch compare with: `fastdrop.reference`, and a count of torch's own draws."""

import ml_dtypes
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import fastdrop.torch as ft
from fastdrop import reference

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# Every kind, with the shape of a tensor that it takes and the noise shape that its definition says.
KINDS = {
    "dropout": ((4, 6), None),
    "dropout1d": ((3, 4, 5), (None, None, 1)),
    "dropout2d": ((3, 4, 5, 6), (None, None, 1, 1)),
    "dropout3d": ((2, 3, 2, 3, 4), (None, None, 1, 1, 1)),
    "alpha_dropout": ((4, 6), None),
    "feature_alpha_dropout": ((3, 4, 5), (None, None, 1)),
}


def seeded(function, *arguments, seed=3, **keywords):
    torch.manual_seed(seed)
    return function(*arguments, **keywords)


def ours(kind, x, p=0.5, **options):
    return getattr(ft, kind)(x, p, True, **options)


def to_numpy(tensor):
    """The same bits: torch makes no NumPy array of bfloat16."""
    tensor = tensor.detach().resolve_neg()
    if tensor.dtype is torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def key_words(seed=3):
    """The key of the first draw after that seed: two numbers of 63 bits, as four words of 32."""
    generator = torch.Generator().manual_seed(seed)
    halves = torch.empty(2, dtype=torch.int64).random_(generator=generator).tolist()
    return [word for half in halves for word in (half % 2**32, half >> 32)]


def reference_mask(shape, p=0.5, noise_shape=None, seed=3):
    return reference.Mask(tuple(shape), p, noise_shape=noise_shape, key=key_words(seed))


def expected(kind, x, p=0.5, seed=3):
    """The result of a kind of dropout by the reference, from the definition of the kind."""
    mask = reference_mask(x.shape, p, KINDS[kind][1], seed)
    if "alpha" in kind:
        return reference.alpha_applied(to_numpy(x), mask)
    return mask.apply(to_numpy(x))


def same_bits(tensor, array):
    found = to_numpy(tensor)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    np.testing.assert_array_equal(found.view(f"u{found.itemsize}"), array.view(f"u{array.itemsize}"))
    return True


class Draws(TorchDispatchMode):
    """Counts the draws of torch's own dropout, and our operators, while it is entered."""

    def __init__(self):
        super().__init__()
        self.torchs, self.ours = 0, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = str(function)
        self.torchs += any(word in name for word in ("bernoulli", "native_dropout", "_fused_dropout"))
        self.ours += name.startswith("fastdrop.")
        return function(*arguments, **(keywords or {}))


def attention(query, key, value, mask=None, p=0.5, seed=3):
    """dropout(softmax(q k^T / sqrt(E) + mask)) v in float64, with the reference's mask."""
    scores = query.double() @ key.double().transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else scores + mask
    weights = torch.nan_to_num(F.softmax(scores, -1))  # a row of -inf attends to nothing
    keep = torch.from_numpy(reference_mask(weights.shape, p, seed=seed).to_numpy())
    return (weights * keep / (1 - p)) @ value.double()
