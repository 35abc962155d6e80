# SPDX-License-Identifier: BSD-3-Clause
"""Dropout layers for Keras 3, on its backends numpy, torch and jax."""

from __future__ import annotations

import importlib
from typing import Any

try:
    import keras
except ModuleNotFoundError as error:
    if error.name != "keras":  # the library of its backend
        raise
    from .._installation import host_error

    raise host_error("fastdrop.keras", "Keras", "keras") from error

from .._checks import describe

__all__ = ["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]

_backend = keras.backend.backend()
if _backend not in ("numpy", "torch", "jax"):
    raise ImportError(
        f"fastdrop.keras works on Keras's backends numpy, torch and jax, not on {_backend}: "
        "set KERAS_BACKEND before the first import of keras"
    )
_dropout = importlib.import_module(f"fastdrop.keras._{_backend}").dropout


@keras.saving.register_keras_serializable("fastdrop")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` in one pass, without a stored mask.

    Arguments, attributes and methods are those of Keras's layer. The layer's `seed_generator` has the state
    ``[seed, counter]``, and its `call` in training has the mask

    ``fastdrop.Mask(inputs.shape, rate, noise_shape=noise_shape, key=(seed, 0, 0, 0), stream=counter)``

    on every backend. Both numbers count modulo 2**32. The counter is 0 at the first call in training, and
    Keras adds 1 at each.

    Parameters
    ----------
    rate : float
        The probability of dropping an element, from 0 to 1, by Keras's name.
    noise_shape : sequence of int or None, optional
        For every axis of the inputs its length, or 1: one decision is shared along the whole axis; None means
        the length.
    seed : int, optional
        None: a number from Python's `random`, which `keras.utils.set_random_seed` seeds.
    **kwargs
        As for every layer of Keras, such as `name` and `dtype`.

    Raises
    ------
    ValueError
        If `rate` or `noise_shape` is wrong.

    Notes
    -----
    The inputs of a call in training are tensors of float16, bfloat16, float32 or float64 in CPU memory;
    others raise TypeError. The result has the dtype of the inputs.

    Examples
    --------
    >>> import fastdrop, keras, numpy as np
    >>> from fastdrop.keras import Dropout
    >>> y = Dropout(0.5, seed=7)(np.ones(8, np.float32), training=True)
    >>> mask = fastdrop.Mask(8, 0.5, key=(7, 0, 0, 0), stream=0)
    >>> bool((keras.ops.convert_to_numpy(y) == mask.apply(np.ones(8, np.float32))).all())
    True
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        return _call(self, inputs, training, self.noise_shape)


def _call(layer: Any, inputs: Any, training: bool, noise_shape: Any) -> Any:
    if not training or layer.rate == 0:
        return inputs
    if not keras.ops.is_tensor(inputs):
        raise TypeError(f"inputs must be one tensor, not {describe(inputs)}")
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    if dtype not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(
            f"inputs must be a tensor of float16, bfloat16, float32 or float64, not of {dtype}; "
            "convert it with keras.ops.cast(inputs, 'float32')"
        )
    return _dropout(inputs, layer.rate, noise_shape, layer.seed_generator.next())


def _spatial(layer: Any, inputs: Any, training: bool) -> Any:
    """One decision for each sample and channel."""
    noise_shape: list[int | None] = [1] * len(inputs.shape)
    channels = 1 if getattr(layer, "data_format", "channels_last") == "channels_first" else -1
    noise_shape[0] = noise_shape[channels] = None
    return _call(layer, inputs, training, noise_shape)


@keras.saving.register_keras_serializable("fastdrop")
class SpatialDropout1D(keras.layers.SpatialDropout1D):
    """`keras.layers.SpatialDropout1D` in one pass: whole channels of ``(samples, steps, channels)``.

    Arguments are those of Keras's layer. Masks are those of `Dropout`, with the noise shape
    ``(None, 1, None)``.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from fastdrop.keras import SpatialDropout1D
    >>> y = SpatialDropout1D(0.5, seed=7)(np.ones((2, 3, 4), np.float32), training=True)
    >>> bool(keras.ops.all(y == y[:, :1]))
    True
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        return _spatial(self, inputs, training)


@keras.saving.register_keras_serializable("fastdrop")
class SpatialDropout2D(keras.layers.SpatialDropout2D):
    """`keras.layers.SpatialDropout2D` in one pass: whole channels of images.

    Arguments, `data_format` among them, are those of Keras's layer. Masks are those of `Dropout`, with 1 in
    the noise shape for both axes of an image.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from fastdrop.keras import SpatialDropout2D
    >>> y = SpatialDropout2D(0.5, seed=7)(np.ones((2, 3, 3, 4), np.float32), training=True)
    >>> bool(keras.ops.all(y == y[:, :1, :1]))
    True
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        return _spatial(self, inputs, training)


@keras.saving.register_keras_serializable("fastdrop")
class SpatialDropout3D(keras.layers.SpatialDropout3D):
    """`keras.layers.SpatialDropout3D` in one pass: whole channels of volumes.

    As `SpatialDropout2D`, with three axes of a volume.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from fastdrop.keras import SpatialDropout3D
    >>> y = SpatialDropout3D(0.5, seed=7)(np.ones((2, 3, 3, 3, 4), np.float32), training=True)
    >>> bool(keras.ops.all(y == y[:, :1, :1, :1]))
    True
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        return _spatial(self, inputs, training)
