# SPDX-License-Identifier: BSD-3-Clause
"""What to write instead of an argument that is refused: the ends of error texts, or "" if nothing is known.

Other packages are known by what their objects have, or by names: none of them is imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_HOST_DEVICES = {1, 3, 11, 13}  # of DLPack: memory that the CPU reads
_BACKWARD = {  # of what is drawn: it has `__array__`, and is no array
    "Mask": "dropout_backward(dy, mask)", "GaussianNoise": "gaussian_dropout_backward(dy, noise)",
}  # fmt: skip
_TO_HOST = ("cpu", "get", "copy_to_host")  # as PyTorch, CuPy and Numba name it


def for_array(value: Any, name: str, complaint: str = "") -> str:
    """For an object that NumPy makes no array of numbers from; `complaint` is what it said."""
    kind = type(value)  # what it has, as far as its class says: to ask the object may run its code
    if _is_on_another_device(value):
        method = next((method for method in _TO_HOST if hasattr(kind, method)), None)
        copy = "copy it to the host first" if method is None else f"write {name}.{method}()"
        return f"; {name} is not in CPU memory: {copy}"
    if "ScalarType BFloat16" in complaint:  # PyTorch's words. It has had int16 for longer than uint16.
        return f"; write {name}.view(torch.int16).numpy().view(ml_dtypes.bfloat16)"
    if hasattr(kind, "toarray"):
        stored = getattr(value, "data", None)
        has_values = isinstance(stored, np.ndarray) and stored.dtype.kind == "f"
        return f"; write {name}.toarray()" + (f", or {name}.data for the stored values" if has_values else "")
    if hasattr(kind, "to_numpy") and hasattr(kind, "isna"):  # pandas
        return f"; write {name}.to_numpy(numpy.float32, na_value=numpy.nan)"
    return ""


def _is_on_another_device(value: Any) -> bool:
    try:
        device, _ = value.__dlpack_device__()
    except Exception:
        return hasattr(type(value), "__cuda_array_interface__")
    return device not in _HOST_DEVICES


def for_dtype(dtype: np.dtype[Any], name: str) -> str:
    """For an array of that dtype where floats are wanted."""
    if dtype.kind == "c":
        return f"; take {name}.real and {name}.imag"
    if dtype.kind == "M":
        return f"; make numbers of it: ({name} - {name}.min()) / numpy.timedelta64(1, 's')"
    if dtype.kind == "m":
        return f"; make numbers of it: {name} / numpy.timedelta64(1, 's')"
    if dtype.names:
        return f"; take one field, as in {name}[{dtype.names[0]!r}]"
    if dtype.type is np.void:  # so numpy.load returns bfloat16
        return f"; if it holds bfloat16, write {name}.view(ml_dtypes.bfloat16)" if dtype.itemsize == 2 else ""
    wide = "float64" if dtype == np.longdouble else "float32"
    return f"; convert it with numpy.asarray({name}, dtype=numpy.{wide})"


def for_mask(value: Any, name: str, swapped: bool) -> str:
    """For what is no mask, or no noise."""
    if swapped:
        return f"; the arguments are swapped: write the gradient first and {name} second"
    if isinstance(value, tuple):
        return f"; take {name} out of the result: y, {name} = ..."
    if own_function := _BACKWARD.get(type(value).__name__):
        return f"; use {own_function}"
    if name == "mask" and (isinstance(value, list) or hasattr(type(value), "__array__")):
        return "; make a mask of an array with fastdrop.Mask.from_array(keep, p), for dropout_backward"
    return ""


def for_probability(p: Any, name: str) -> str:
    """For what is no real number, or one that is not from 0 to 1."""
    if isinstance(p, np.ndarray) and p.dtype.kind in "fiu":
        return f"; if it holds percentages, write {name} / 100" if p.min() >= 0 and p.max() <= 100 else ""
    if isinstance(p, (bool, np.bool_)) or getattr(p, "dtype", None) == np.bool_:
        return ""  # most likely a mask
    is_array = hasattr(type(p), "__array__") and not isinstance(p, np.generic)
    if isinstance(p, (list, tuple)) or (is_array and type(p).__name__ not in _BACKWARD):
        return f"; write numpy.array({name}, dtype=float)"
    try:
        number = float(p)
    except Exception:
        return ""
    if not 0 <= number <= 1:
        return f"; if it is a percentage, write {number / 100:g}" if 1 < number <= 100 else ""
    return f"; write float({name})"


def for_seed(seed: Any, name: str) -> str:
    """For what is no source of keys: the source that it can be made into."""
    source = _source_from(seed, name)
    if source is None:
        return ""
    return f"; write fastdrop.MaskGenerator({source}), once" if name == "rng" else f"; write {source}"


def for_key(key: Any) -> str:
    """For what is no key: the object that has one, or what makes one of it."""
    if type(key).__module__.split(".")[0] in ("jax", "jaxlib"):
        return "; write numpy.asarray(fastdrop.jax.key_words(key))"
    if type(key).__name__ in ("Mask", "MaskGenerator"):
        return "; write key.key"
    return "; an integer is a seed: write seed=..." if isinstance(key, (int, np.integer)) else ""


def _source_from(seed: Any, name: str) -> str | None:
    kind, package = type(seed).__name__, type(seed).__module__.split(".")[0]
    if seed is np.random:  # what numpy.random.seed does has no effect on other generators
        return "0"
    if isinstance(seed, np.random.RandomState):
        try:
            np.random.default_rng(seed)
        except TypeError:  # NumPy before 2.2
            return f"numpy.random.Generator({name}._bit_generator)"
        return f"numpy.random.default_rng({name})"
    if kind == "MaskGenerator":
        return f"{name}.key, or take the mask from {name}.mask"
    if hasattr(seed, "getrandbits"):  # the module random and its generators
        return f"{name}.getrandbits(128)"
    if (package, kind) == ("torch", "Generator"):
        return f"{name}.initial_seed()"
    if package in ("jax", "jaxlib"):
        return f"numpy.asarray(jax.random.key_data({name}))"
    if isinstance(seed, str):
        return f"int({name})" if seed.isdecimal() else f"list({name}.encode())"
    if isinstance(seed, bytes):
        return f"list({name})"
    if isinstance(seed, np.ndarray) and seed.ndim == 0 and seed.dtype.kind in "iu":
        return f"int({name})"
    if isinstance(seed, np.ndarray) and seed.ndim > 1 and seed.dtype.kind in "iu":
        return f"{name}.ravel()"
    return None
