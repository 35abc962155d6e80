# SPDX-License-Identifier: BSD-3-Clause
"""Dropout as an operator of JAX: its derivative, its transpose, its batches, and how XLA runs it.

It has two operands: x, and 32-bit words, which csrc/xla/dropout.h lists. It is linear in x. So its derivative
and its transpose are the operator itself with the same words.
"""

from __future__ import annotations

import functools
import math
import re
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla
from jax.sharding import PartitionSpec

from .. import _core

Array: TypeAlias = Any  # a jax.Array, or what stands for one while JAX traces
_TARGET = "fastdrop_dropout"

_dropout = Primitive(_TARGET)


def draw(x: Array, words: list[Array], *, spec: Any, **constants: Any) -> Array:
    """The operator on an array, or on the shard of it that `spec` says, with the words of key, stream and p.

    Where the type of an array says how it is split over a mesh, each device works on what it has.
    """
    explicit = jax.typeof(x).sharding.spec
    if spec is not None or not any(explicit):
        return _draw(x, words, spec=spec, **constants)
    on_shard = jax.shard_map(
        functools.partial(_draw, spec=explicit, **constants),
        mesh=jax.typeof(x).sharding.mesh,
        in_specs=(explicit, PartitionSpec()),
        out_specs=explicit,
        axis_names={name for names in explicit if names for name in np.atleast_1d(names).tolist()},
    )
    return on_shard(x, words)


@functools.partial(jax.jit, static_argnames=("p", "generator", "strides", "spec"), inline=True)
def _draw(x: Array, words: list[Array], *, strides: tuple[int, ...], spec: Any, **constants: Any) -> Array:
    key, stream, *rate = words
    split = [(axis, names) for axis, names in enumerate(spec or ()) if names]
    places = [jax.lax.axis_index(names).astype(jnp.uint32).reshape(1) for _, names in split]
    joined = jnp.concatenate([key, stream, *places, *rate])
    if missing := tuple(_varying_axes(joined) - _varying_axes(x)):
        x = jax.lax.pcast(x, missing, to="varying")
    steps = tuple(x.shape[axis] * strides[axis] for axis, _ in split)
    return _dropout.bind(x, joined, strides=strides, steps=steps, **constants)


def _varying_axes(array: Array) -> frozenset[Any]:
    """The axes of shard_map's mesh along which shards differ."""
    aval = jax.typeof(array)
    varying: frozenset[Any] = aval.mat.varying if hasattr(aval, "mat") else aval.vma
    return varying


@_dropout.def_abstract_eval
def _result_type(x: Any, words: Any, **constants: Any) -> Any:
    return x


def _tangent(dx: Array, x: Array, words: Array, **constants: Any) -> Array:
    return _dropout.bind(dx, words, **constants)


def _transpose(dy: Array, x: Array, words: Array, **constants: Any) -> tuple[Array, None]:
    return ad.Zero(x.aval) if type(dy) is ad.Zero else _dropout.bind(dy, words, **constants), None


def _batch(
    operands: tuple[Array, Array],
    axes: tuple[int | None, int | None],
    *,
    strides: tuple[int, ...],
    **others: Any,
) -> tuple[Array, int]:
    """With one key, an axis that shares decisions; with a key for each, one more axis before those of x."""
    (x, words), (axis, words_axis) = operands, axes
    if words_axis is None:
        assert axis is not None
        keys = words.ndim - 1  # so many axes of x, the first ones, have a key for each place already
        if axis < keys:
            x, axis = jnp.moveaxis(x, axis, keys), keys
        strides = (*strides[: axis - keys], 0, *strides[axis - keys :])
        return _dropout.bind(x, words, strides=strides, **others), axis
    words = jnp.moveaxis(words, words_axis, 0)
    x = jnp.broadcast_to(x, (words.shape[0], *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
    return _dropout.bind(x, words, strides=strides, **others), 0


def _lower(
    context: Any,
    *operands: Any,
    p: float | None,
    generator: int,
    strides: tuple[int, ...],
    steps: tuple[int, ...],
) -> Any:
    return jax.ffi.ffi_lowering(_TARGET)(
        context,
        *operands,
        p=np.float64(math.nan if p is None else p),
        generator=np.int64(generator),
        strides=np.array(strides, np.int64),
        steps=np.array(steps, np.int64),
    )


def _refuse_platform(context: Any, *operands: Any, **constants: Any) -> Any:
    raise NotImplementedError(
        "fastdrop.jax.dropout runs on the CPU only: compile for it, as in jax.jit(f, backend='cpu') or with "
        "jax.default_device(jax.devices('cpu')[0])"
    )


_dropout.def_impl(functools.partial(xla.apply_primitive, _dropout))
ad.defjvp(_dropout, _tangent, None)
ad.primitive_transposes[_dropout] = _transpose
batching.primitive_batchers[_dropout] = _batch
mlir.register_lowering(_dropout, _refuse_platform)
mlir.register_lowering(_dropout, _lower, platform="cpu")


def _register() -> None:
    """Make the compiled function known to XLA, if both speak the same version of XLA's FFI.

    XLA looks at the version no sooner than when it starts, and then does not start.
    """
    header = (Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h").read_text()
    major, minor = map(int, re.findall(r"#define XLA_FFI_API_M(?:AJOR|INOR) (\d+)", header))
    own, oldest, newest = _core.xla_versions
    if major != own or minor < oldest:
        raise ImportError(
            f"fastdrop.jax speaks the versions {own}.{oldest} to {own}.{newest} of XLA's FFI, and jaxlib "
            f"{metadata.version('jaxlib')} speaks {major}.{minor}: install versions of fastdrop-kernels and "
            "jax that fit"
        )
    jax.ffi.register_ffi_target(_TARGET, _core.xla_dropout(minor), platform="cpu")


_register()
