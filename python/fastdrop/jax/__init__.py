# SPDX-License-Identifier: BSD-3-Clause
"""Dropout for JAX arrays on the CPU: compiled into XLA's programs, with the masks of `fastdrop.Mask`.

`dropout` is a pure function of its arguments, as JAX wants it: the key is an operand. It works under
`jax.jit`, `jax.grad` of any order, `jax.vmap`, `jax.checkpoint`, `jax.lax.scan` and `jax.shard_map`.
"""

from .._installation import host_error

try:
    import jax as _jax  # noqa: F401 -- whether it is there
except ImportError as error:
    raise host_error("fastdrop.jax", "JAX", "jax") from error

from .functional import dropout, key_words

__all__ = ["dropout", "key_words"]


def __dir__() -> list[str]:
    return __all__
