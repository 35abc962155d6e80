# SPDX-License-Identifier: BSD-3-Clause
"""Faults of the adapters, which host_tests/ sees where the other libraries are installed: `--hosts`."""

from ..mutant import of_host

TORCH, JAX = "python/fastdrop/torch", "python/fastdrop/jax/_operator.py"

MUTANTS = (
    of_host(
        "torch-goes-back-without-the-scale",
        f"{TORCH}/_apply.py",
        "ctx.decisions = state, constants[:1]",
        "ctx.decisions = state, (1.0,)",
        "host_tests/test_torch_autograd.py",
    ),
    of_host(
        "torch-drops-without-noise-shape",
        f"{TORCH}/_apply.py",
        "strides = None if noise_shape is None else noise_window(input.shape, noise_shape)[1]\n"
        "        state = draw_state(p, input.shape, strides)",
        "state = draw_state(p, input.shape, None)",
        "host_tests/test_torch_bits.py",
    ),
    of_host(
        "jax-goes-back-with-its-tangent",
        JAX,
        "return _dropout.bind(dx, words, **constants)",
        "return _dropout.bind(x, words, **constants)",
        "host_tests/test_jax.py",
    ),
    of_host(
        "jax-batches-without-sharing",
        JAX,
        "strides = (*strides[: axis - keys], 0, *strides[axis - keys :])",
        "strides = (*strides[: axis - keys], 1, *strides[axis - keys :])",
        "host_tests/test_jax.py",
    ),
    of_host(
        "a-shard-begins-at-0",
        "csrc/xla/dropout.cpp",
        "request.window.start += own[6 + axis] * static_cast<std::uint64_t>(steps.values[axis]);",
        "request.window.start += 0 * own[6 + axis] * static_cast<std::uint64_t>(steps.values[axis]);",
        "host_tests/test_jax_shards.py",
        "host_tests/test_jax_ffi.py",
    ),
    of_host(
        "dask-blocks-have-the-first-window",
        "python/fastdrop/dask.py",
        "slice(edge[n], edge[n + 1]) for edge, n in zip(edges, block_id, strict=True)",
        "slice(edge[0], edge[0] + edge[n + 1] - edge[n]) for edge, n in zip(edges, block_id, strict=True)",
        "host_tests/test_dask.py",
    ),
    of_host(
        "autograd-goes-back-as-itself",
        "python/fastdrop/autograd.py",
        "lambda y, x, drawn: lambda dy: _apply(dy, drawn)",
        "lambda y, x, drawn: lambda dy: dy",
        "host_tests/test_autograd.py",
    ),
    of_host(
        "thinc-goes-back-with-a-new-mask",
        "python/fastdrop/thinc.py",
        "return _apply(masks, dy)\n",
        "return _apply([_next_mask(model, mask.shape) for mask in masks], dy)\n",
        "host_tests/test_thinc.py",
    ),
)
