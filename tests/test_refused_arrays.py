# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that would lose something, and objects that are none: the message says what to write instead."""

import collections

import ml_dtypes
import numpy as np
import pandas
import pytest
import scipy.sparse

import fastdrop
from arrays import same_bytes
from kind_definitions import LAYERS
from refusal import refuse

pytestmark = pytest.mark.usefixtures("silence")

FLOATS = "x must be an array of float16, bfloat16, float32 or float64, not "
X = np.arange(6, dtype=np.float32).reshape(2, 3) + 1
MASKED = np.ma.array(X, mask=X > 4)


def dropout(x, **options):
    return fastdrop.dropout(x, 0.5, rng=0, **options)[0]


# --- Masked arrays --------------------------------------------------------------------------------

LOST = ", whose mask would be lost: "


class MaskedOfOthers(np.ndarray):
    """As Astropy's, which is a subclass of ndarray and not of MaskedArray."""

    mask = filled = None


WITH_MASKED = {
    "a masked array": MASKED,
    "nothing masked": np.ma.array(X),
    "hard mask": np.ma.array(X, mask=X > 4, hard_mask=True),
    "transposed": MASKED.T,
    "integers": np.ma.array([1, 2]),
    "masked": np.ma.masked,
    "of another class": X.view(MaskedOfOthers),
    "in a list": [MASKED[0], [1.0, 2.0, 3.0]],
    "in a tuple in a list": [(MASKED[0],)],
    "in a deque": collections.deque([MASKED[0]]),
    "masked in a list": [1.0, np.ma.masked],
}


class Variable:
    """As a netCDF variable, which converts to a masked array."""

    def __array__(self, dtype=None, copy=None):
        return MASKED


@pytest.mark.parametrize("x", [*WITH_MASKED.values(), Variable()], ids=[*WITH_MASKED, "of another package"])
@pytest.mark.parametrize("training", [True, False])
def test_a_masked_array_is_refused(x, training):
    refuse(lambda: dropout(x, training=training), TypeError, FLOATS, LOST)
    out = np.full(3, 7, np.float32)
    refuse(lambda: dropout(x, training=training, out=out), TypeError, FLOATS, LOST)
    assert (out == 7).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_every_kind_refuses_masked_arrays(name, training):
    kind = LAYERS[name]
    layer = kind.make(0.3, 1).train(training)
    plain = np.ones(kind.shape, np.float32)
    masked = np.ma.array(plain.copy(), mask=plain > 2)
    calls = [layer, lambda x, out=None: kind.function(x, 0.3, rng=1, training=training, out=out)[0]]
    layer(plain)
    for call in [*calls, layer.backward, kind.drawn(layer).apply]:
        for arguments in ((masked,), (masked, plain), (plain, masked), (masked, masked)):
            x, out = (*arguments, None)[:2]
            with pytest.raises(TypeError, match=LOST) as caught:
                call(x, out=out)
            assert str(caught.value).startswith(
                ("x must", "dy must", "weight must", "table must", "out must")
            )
    assert (plain == 1).all()


def test_a_masked_array_as_any_other_argument_is_refused():
    keep, bits, p = (np.ma.array(np.ones(3, dtype)) for dtype in (bool, np.uint8, float))
    refuse(lambda: fastdrop.Mask.from_array(keep), TypeError, "keep must be an array of bool", LOST)
    refuse(lambda: fastdrop.Mask.from_bits(bits, 24), TypeError, "bits must be", LOST)
    refuse(lambda: fastdrop.Mask((2, 3), p), TypeError, "p must be", LOST)
    refuse(lambda: fastdrop.mc_dropout(lambda x, rng: MASKED, X, 2), TypeError, "fn(x, rng) must be", LOST)


def test_what_the_refusal_of_a_masked_array_advises_works():
    refuse(lambda: dropout(MASKED), TypeError, f"{FLOATS}a MaskedArray{LOST}write x.filled(0) or x.data")
    other = X.view(MaskedOfOthers)
    refuse(lambda: dropout(other), TypeError, f"{FLOATS}a MaskedOfOthers{LOST}write x.filled(0)")
    assert same_bytes(dropout(MASKED.filled(0)), dropout(np.where(MASKED.mask, np.float32(0), X)))
    assert same_bytes(dropout(MASKED.data), dropout(X))


# --- Objects that are no arrays of floats -----------------------------------------------------------


class OnGpu:
    """As CuPy's arrays."""

    __cuda_array_interface__ = None

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def get(self):
        return X


class OnlyDlpack:
    def __init__(self, error, device=1):
        self.error, self.device = error, device

    def __dlpack__(self, **keywords):
        raise self.error

    def __dlpack_device__(self):
        return self.device, 0

    def cpu(self):
        return X


class Tensor(OnlyDlpack):
    """As PyTorch's tensors, which raise these errors."""

    def __array__(self, dtype=None, copy=None):
        raise self.error


class OnlyCuda:
    """As Numba's arrays, which NumPy would wrap in an array of objects."""

    __cuda_array_interface__ = None

    def copy_to_host(self):
        return X


BFLOAT16 = Tensor(TypeError("Got unsupported ScalarType BFloat16"))
GRADIENT = Tensor(
    RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy()")
)
CUDA = Tensor(TypeError("can't convert cuda:0 device type tensor to numpy"), device=2)
SPARSE = scipy.sparse.csr_matrix(X)
TO_BFLOAT16 = "; write x.view(torch.int16).numpy().view(ml_dtypes.bfloat16)"
OTHERS = {
    "None": (None, "None of type NoneType"),
    "csr_matrix": (SPARSE, "csr_matrix; write x.toarray(), or x.data for the stored values"),
    "csr_array": (scipy.sparse.csr_array(X), "csr_array; write x.toarray(), or x.data for the stored"),
    "dok_array": (scipy.sparse.dok_array(X), "of type dok_array; write x.toarray()"),
    "CuPy": (OnGpu(), "; x is not in CPU memory: write x.get()"),
    "Numba": (OnlyCuda(), "; x is not in CPU memory: write x.copy_to_host()"),
    "PyTorch on a GPU": (CUDA, "can't convert cuda:0", "; x is not in CPU memory: write x.cpu()"),
    "DLPack on a GPU": (OnlyDlpack(BufferError("no"), device=10), "; x is not in CPU memory: write x.cpu()"),
    "PyTorch, bfloat16": (BFLOAT16, "of type Tensor: Got unsupported", TO_BFLOAT16),
    "PyTorch, with gradient": (GRADIENT, "Use tensor.detach().numpy()"),
    "pandas, with NA": (
        pandas.Series([True, None], dtype="boolean"),
        "Series; write x.to_numpy(numpy.float32",
    ),
    "text": ("text", "'text' of type str"),
    "texts": (np.array(["1.5"]), "of <U3; convert it with numpy.asarray(x, dtype=numpy.float32)"),
    "longdouble": (X.astype(np.longdouble), "; convert it with numpy.asarray(x, dtype=numpy.float64)"),
    "objects": (X.astype(object), "of object; convert it with numpy.asarray(x, dtype=numpy.float32)"),
    "complex": (X.astype(complex), "of complex128; take x.real and x.imag"),
    "dates": (X.astype("M8[s]"), "of datetime64[s]; make numbers of it: (x - x.min()) / numpy.timedelta64(1"),
    "times": (X.astype("m8[s]"), "of timedelta64[s]; make numbers of it: x / numpy.timedelta64(1, 's')"),
    "structured": (np.zeros(3, [("a", "f4")]), "; take one field, as in x['a']"),
    "saved bfloat16": (np.zeros(3, "V2"), "of |V2; if it holds bfloat16, write x.view(ml_dtypes.bfloat16)"),
    "bool": (X > 1, "of bool; convert it with numpy.asarray(x, dtype=numpy.float32)"),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("x", "words"), [(x, words) for x, *words in OTHERS.values()], ids=OTHERS)
def test_what_is_no_array_of_floats_is_refused_with_advice(x, words, training):
    refuse(lambda: dropout(x, training=training), TypeError, FLOATS, *words)


def test_the_advice_is_right():
    assert same_bytes(dropout(SPARSE.toarray()), dropout(X))
    bits = X.astype(ml_dtypes.bfloat16).view(np.int16)  # what a tensor's view(torch.int16).numpy() is
    assert same_bytes(dropout(bits.view(ml_dtypes.bfloat16)), dropout(X.astype(ml_dtypes.bfloat16)))
    assert dropout(OTHERS["saved bfloat16"][0].view(ml_dtypes.bfloat16)).dtype == ml_dtypes.bfloat16
    series = OTHERS["pandas, with NA"][0]
    assert dropout(series.to_numpy(np.float32, na_value=np.nan)).shape == (2,)
    for name in ("texts", "objects", "bool", "longdouble"):
        dtype = np.float64 if name == "longdouble" else np.float32
        assert dropout(np.asarray(OTHERS[name][0], dtype=dtype)).dtype == dtype
    dates, times = OTHERS["dates"][0], OTHERS["times"][0]
    assert dropout((dates - dates.min()) / np.timedelta64(1, "s")).dtype == np.float64
    assert dropout(times / np.timedelta64(1, "s")).dtype == np.float64


# --- Code of others that fails ----------------------------------------------------------------------


class Broken:
    """Whatever Python asks of it fails."""

    def fail(self, *arguments, **keywords):
        raise ZeroDivisionError("broken")

    __array__ = __dlpack__ = __dlpack_device__ = __index__ = __float__ = __repr__ = fail
    cpu = get = toarray = property(fail)


def test_an_exception_of_the_code_of_others_comes_with_the_name_of_the_argument():
    calls = {
        "x": lambda: dropout(Broken()),
        "keep": lambda: fastdrop.Mask.from_array(Broken()),
        "stream": lambda: fastdrop.Mask(3, stream=Broken()),
        "shape": lambda: fastdrop.Mask(Broken()),
        "dy": lambda: fastdrop.dropout_backward(Broken(), fastdrop.Mask(3)),
    }
    for name, call in calls.items():
        refuse(call, TypeError, f"{name} must be", "of type Broken", "broken" if name != "shape" else "")
    with pytest.raises(TypeError) as caught:
        calls["x"]()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


class BrokenSequence(collections.abc.Sequence):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise ZeroDivisionError("broken")


def test_a_sequence_that_fails_comes_with_the_name_of_the_argument():
    refuse(lambda: dropout(BrokenSequence()), TypeError, FLOATS, "of type BrokenSequence: broken")
    refuse(lambda: dropout([BrokenSequence()]), TypeError, FLOATS, "of type list: broken")
    endless = []
    endless.append(endless)
    refuse(lambda: dropout(endless), TypeError, FLOATS, "[[...]] of type list")


def test_too_little_memory_is_no_fault_of_the_argument():
    with pytest.raises(MemoryError):
        dropout(Tensor(MemoryError()))


# --- What is no mask --------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [X > 2, (X > 2) / 0.5, (X > 2).tolist(), pandas.DataFrame(X > 2)], ids=type)
def test_an_array_in_the_place_of_a_mask_is_refused_with_advice(keep):
    advice = "; make a mask of an array with fastdrop.Mask.from_array(keep, p), for dropout_backward"
    layer = fastdrop.Dropout(0.5)
    for call in (
        lambda: fastdrop.dropout_backward(X, keep),
        lambda: fastdrop.alpha_dropout_backward(X, keep),
        lambda: setattr(layer, "mask", keep),
    ):
        refuse(call, TypeError, "mask must be ", type(keep).__name__, advice)


def test_a_mask_is_no_noise_and_noise_is_no_mask():
    mask, noise = fastdrop.Mask(X.shape), fastdrop.GaussianNoise(X.shape)
    advice = "of type GaussianNoise; use gaussian_dropout_backward(dy, noise)"
    for call in (
        lambda: fastdrop.dropout_backward(X, noise),
        lambda: fastdrop.alpha_dropout_backward(X, noise),
        lambda: fastdrop.DropPath(0.5).backward(X, mask=noise),
        lambda: setattr(fastdrop.Dropout(0.5), "mask", noise),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value).endswith(advice)
    advice = "of type Mask; use dropout_backward(dy, mask)"
    refuse(lambda: fastdrop.gaussian_dropout_backward(X, mask), TypeError, "noise must be", advice)
    refuse(lambda: fastdrop.GaussianDropout(0.5).backward(X, noise=mask), TypeError, "noise must be", advice)
    for what in (mask, noise):
        with pytest.raises(TypeError) as caught:
            fastdrop.dropout(X, what)
        assert str(caught.value).endswith(f"of type {type(what).__name__}")  # no array can be made of it


def test_swapped_arguments_are_said_to_be():
    mask, noise = fastdrop.Mask(X.shape), fastdrop.GaussianNoise(X.shape)
    swapped = "; the arguments are swapped: write the gradient first and mask second"
    refuse(lambda: fastdrop.dropout_backward(mask, X), TypeError, "mask must be", swapped)
    refuse(lambda: fastdrop.alpha_dropout_backward(mask, X), TypeError, "mask must be", swapped)
    swapped = "; the arguments are swapped: write the gradient first and noise second"
    refuse(lambda: fastdrop.gaussian_dropout_backward(noise, X), TypeError, "noise must be", swapped)


def test_a_result_that_was_not_unpacked_is_no_mask():
    advice = "; take mask out of the result: y, mask = ..."
    refuse(lambda: fastdrop.dropout_backward(X, fastdrop.dropout(X)), TypeError, "mask must be", advice)
