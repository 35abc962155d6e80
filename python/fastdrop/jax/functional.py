# SPDX-License-Identifier: BSD-3-Clause
"""Dropout as functions of JAX arrays."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.sharding import PartitionSpec

from .. import _checks
from .._keys import given_key, unpack_key
from .._states import DEFAULT_GENERATOR, generator_id
from .._windows import NoiseShape, c_strides, noise_window
from ..mask import Mask
from ._operator import Array, draw

__all__ = ["dropout", "key_words"]

_ORDER = "the order is dropout(x, p, key)"


def dropout(
    x: Array,
    p: float | Array,
    key: Array | Sequence[int] | None,
    *,
    stream: int | Array = 0,
    noise_shape: NoiseShape = None,
    generator: str = DEFAULT_GENERATOR,
    training: bool = True,
    spec: Any = None,
) -> Array:
    """Drop elements at random and scale the others.

    ``y = round(x * s)`` where the mask keeps and ``+0.0`` where it drops, with ``s = 1 / (1 - p)``. The bits
    are those of ``fastdrop.Mask(x.shape, p, key=key_words(key), stream=stream).apply(x)`` in NumPy.

    Parameters
    ----------
    x : jax.Array or numpy.ndarray of float16, bfloat16, float32 or float64
        Values, of any shape.
    p : float, or jax.Array without axes
        Probability of dropping, from 0 to 1. A Python number is a constant of the compiled program, and
        exact. An array is an operand, so that a schedule does not compile again. It is as exact as its dtype:
        the mask of a float32 0.1 is not quite that of 0.1.
    key : key of jax.random, or four 32-bit words
        A typed key (`jax.random.key`) or a raw one (`jax.random.PRNGKey`). Or the four words themselves, such
        as the `key` of a `fastdrop.Mask`: an array of uint32, or integers. See `key_words`. The same key
        gives the same mask: split it, as for every function of `jax.random`. It may be None where `training`
        is False.
    stream : int or jax.Array of an integer dtype without axes, default 0
        Which mask of that key, 0 <= stream < 2**63: a layer's number, or a step. An array counts modulo
        2**32, or 2**63 if it has 64 bits.
    noise_shape : sequence of int or None, optional
        For every axis of `x` its length, or 1: one decision is shared along the whole axis; None means the
        length. With `spec`, lengths are those of the whole array.
    generator : {"ars4x32-7", "philox4x32-10"}
        The counter-based generator.
    training : bool, default True
        False: the result is `x`.
    spec : jax.sharding.PartitionSpec, optional
        Inside `jax.shard_map`: how `x` is split over the mesh, as in its ``in_specs``. Then each shard has
        the bits that it has in the whole. Without it every shard that has the same key has the same mask.

    Returns
    -------
    jax.Array
        Of the shape and dtype of `x`. There is no mask to keep: the key is the mask.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; the message names it. A p that is an array is
        looked at when the program runs, and is then refused by JAX's own error.
    NotImplementedError
        If the program is compiled for another platform than the CPU.

    Notes
    -----
    Under `jax.vmap`, one key gives every example of the batch the same mask, as in `jax.random`. A batch of
    keys gives each its own. Both are what a Python loop gives, bit for bit. An array that is split over a
    mesh with explicit axes is worked on where it lies. `p` cannot be differentiated.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from fastdrop.jax import dropout
    >>> key = jax.random.key(0)
    >>> jax.jit(dropout, static_argnums=1)(jnp.ones(8), 0.5, key)
    Array([0., 2., 2., 2., 0., 0., 0., 0.], dtype=float32)
    >>> jax.grad(lambda x: dropout(x, 0.5, key).sum())(jnp.ones(8))
    Array([0., 2., 2., 2., 0., 0., 0., 0.], dtype=float32)
    """
    values, (constant, *rate_words) = _float_array(x), _rate(p)
    if not _checks.boolean(training, "training"):
        return values
    words = [key_words(key), _stream_words(stream), *rate_words]
    if words[0].ndim != 1:
        raise ValueError(f"key must be one key, not {words[0].shape[:-1]} of them: use jax.vmap over keys")
    whole = values.shape if spec is None else _whole_shape(values.shape, spec)
    strides = None if noise_shape is None else noise_window(whole, noise_shape)[1]
    strides = c_strides(whole) if strides is None else strides
    return draw(values, words, p=constant, generator=generator_id(generator), strides=strides, spec=spec)


def key_words(key: Array | Sequence[int] | None) -> Array:
    """The four 32-bit words that a key is for fastdrop.

    A key of two words, such as one of JAX's own ``threefry2x32``, is followed by two zeros. A key of four
    words, such as one of ``rbg``, is taken as it is. So keys that differ for JAX differ here.

    Parameters
    ----------
    key : key of jax.random, or four 32-bit words
        As in `dropout`; also a batch of keys.

    Returns
    -------
    jax.Array of uint32
        Of the shape ``(4,)``, or ``(..., 4)`` of a batch.

    Raises
    ------
    TypeError, ValueError
        If that is no key.

    Examples
    --------
    >>> import fastdrop, jax, numpy as np
    >>> from fastdrop.jax import dropout, key_words
    >>> key = jax.random.key(7)
    >>> key_words(key)
    Array([0, 7, 0, 0], dtype=uint32)
    >>> mask = fastdrop.Mask(8, p=0.5, key=np.asarray(key_words(key)))
    >>> bool((mask.apply(np.ones(8, np.float32)) == dropout(jnp.ones(8), 0.5, key)).all())
    True
    """
    wanted = "a key of jax.random or four 32-bit words"
    if isinstance(key, (tuple, list)) and not any(isinstance(word, jax.core.Tracer) for word in key):
        return jnp.asarray(unpack_key(*given_key(key, None)), jnp.uint32)
    if not isinstance(key, (jax.Array, np.ndarray)):
        raise TypeError(f"key must be {wanted}, not {_checks.describe(key)}{_key_remedy(key)}")
    if not _is_key(key) and (key.dtype != jnp.uint32 or key.ndim == 0 or key.shape[-1] not in (2, 4)):
        given = f"an array of {key.dtype} of the shape {key.shape}"
        raise TypeError(f"key must be {wanted}, not {given}: {_ORDER}")
    return _four_words(key)


@functools.partial(jax.jit, inline=True)
def _four_words(key: Array) -> Array:
    words = jax.random.key_data(key) if _is_key(key) else key
    if words.shape[-1] not in (2, 4):
        raise TypeError(f"key must have two or four words, not {words.shape[-1]} as {key.dtype} has")
    return words if words.shape[-1] == 4 else jnp.concatenate([words, jnp.zeros_like(words)], -1)


# What dropout's arguments are.


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _key_remedy(key: Any) -> str:
    if isinstance(key, (int, np.integer)):
        return "; write jax.random.key(seed)"
    if isinstance(key, Mask):
        return "; write key=mask.key, stream=mask.stream"
    if isinstance(key, (tuple, list)):
        return "; give a compiled function the words as an array: np.array(key, np.uint32)"
    return ""


def _float_array(x: Any) -> Array:
    wanted = "an array of float16, bfloat16, float32 or float64"
    if not isinstance(x, (jax.Array, np.ndarray, np.generic)):
        raise TypeError(f"x must be {wanted}, not {_checks.describe(x)}")
    if isinstance(x, np.ndarray):
        _checks.refuse_masked(x, "x")
    if _is_key(x) or x.dtype == np.uint32:
        raise TypeError(f"x must be {wanted}, not of {x.dtype}: {_ORDER}")
    if not any(x.dtype == dtype for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64)):
        raise TypeError(f"x must be {wanted}, not of {x.dtype}; convert it with x.astype('float32')")
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def _rate(p: Any) -> tuple[float] | tuple[None, Array]:
    """p as a constant, or None and p as words."""
    if _is_key(p):
        raise TypeError(f"p must be a real number, the probability of dropping, not a key: {_ORDER}")
    if not isinstance(p, jax.Array):
        return (_checks.scalar_probability(p),)
    if p.ndim != 0 or p.dtype == jnp.bool_ or not jnp.isrealobj(p):
        raise TypeError(f"p must be one real number, not an array of {p.dtype} of the shape {p.shape}")
    return None, _array_words(p if p.dtype == jnp.float64 else p.astype(jnp.float32))


def _stream_words(stream: Any) -> Array:
    if not isinstance(stream, jax.Array):
        number = _checks.integer(stream, "stream", 0, _checks.INDEX_LIMIT)
        return np.array([number & 0xFFFFFFFF, number >> 32], np.uint32)
    if stream.ndim != 0 or not jnp.issubdtype(stream.dtype, jnp.integer):
        given = f"an array of {stream.dtype} of the shape {stream.shape}"
        raise TypeError(f"stream must be one integer, not {given}")
    upper = (stream >> 32) & 0x7FFFFFFF if stream.dtype.itemsize == 8 else jnp.zeros_like(stream)
    return jnp.stack([stream.astype(jnp.uint32), upper.astype(jnp.uint32)])


@jax.custom_jvp
def _array_words(p: Array) -> Array:
    return jax.lax.bitcast_convert_type(p, jnp.uint32).reshape(-1)


@functools.partial(_array_words.defjvp, symbolic_zeros=True)
def _refuse_gradient(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    if type(tangents[0]) is not SymbolicZero:
        remedy = "write jax.lax.stop_gradient(p), or differentiate with respect to x only"
        raise TypeError(f"p must not be differentiated, since a mask is no smooth function of it: {remedy}")
    words = _array_words(*primals)
    return words, np.zeros(words.shape, jax.dtypes.float0)


def _whole_shape(shape: tuple[int, ...], spec: Any) -> tuple[int, ...]:
    """The shape of an array whose shards have that shape."""
    if not isinstance(spec, PartitionSpec):
        raise TypeError(f"spec must be a jax.sharding.PartitionSpec, not {_checks.describe(spec)}")
    if len(spec) > len(shape):
        raise ValueError(f"spec must have at most an entry for each axis of x, {len(shape)}, not {len(spec)}")
    whole = list(shape)
    for axis, names in enumerate(spec):
        whole[axis] *= jax.lax.axis_size(names) if names else 1
    return tuple(whole)
