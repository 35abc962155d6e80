# SPDX-License-Identifier: BSD-3-Clause
"""What attention refuses, with `out` untouched and no mask drawn; and values that have no gradient."""

import warnings

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, same_bytes, without_nans
from attention_cases import (
    KEYS,
    LEADING,
    QUERIES,
    WEIGHTS,
    attend,
    check,
    every_dtype,
    exact,
    operands,
)
from fused_functions import untouched
from refusal import refuse

QUERY, KEY, VALUE, DY = operands()
MASK = fastdrop.Mask(WEIGHTS, 0.5, seed=0)


def refused(kind, *fragments, query=QUERY, key=KEY, value=VALUE, **options):
    """A call is refused before anything is written or drawn."""
    masks = fastdrop.MaskGenerator(0)
    before = masks.state
    options = {"rng": masks, "p": 0.5, **options} if "mask" not in options else options
    call = lambda out: fastdrop.attention(query, key, value, **{"out": out, **options})  # noqa: E731
    untouched(call, kind, *fragments, out=np.full_like(DY, 7))
    assert masks.state == before


# --- Operands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["query", "key", "value"])
def test_operands_that_are_no_arrays_of_floats_or_have_too_few_axes(name):
    for wrong in (np.float32(1), np.ones(8, np.float32), 1.0, [1.0, 2.0]):
        message = f"{name} must have at least two axes, (..., T, d), not the shape {np.shape(wrong)}"
        refused(ValueError, message, **{name: wrong})
    floats = f"{name} must be an array of float16, bfloat16, float32 or float64, not"
    for wrong in (np.ones((4, 8), int), np.ones((4, 8), complex), "text", None, [[1.0], [1.0, 2.0]]):
        refused(TypeError, floats, **{name: wrong})
    refused(TypeError, floats, "whose mask would be lost", **{name: np.ma.array(QUERY)})


@pytest.mark.parametrize("name", ["key", "value"])
def test_dtypes_that_differ(name):
    for dtype in DTYPES:
        if dtype != "float32":
            wrong = {"key": KEY, "value": VALUE}[name].astype(dtype)
            wanted = f"{name} must have the dtype of query, float32, not {wrong.dtype}"
            refused(TypeError, wanted, f"; write {name}.astype(query.dtype)", **{name: wrong})


def test_shapes_that_do_not_fit():
    refused(ValueError, "key must have as many features as query, 8, not the shape", key=KEY[..., :7])
    refused(ValueError, "value must have a row for each of the 9 keys, not", value=VALUE[..., :8, :])
    remedy = ": keys that heads share have a length of 1 along the axis of the heads"
    message = "query, key and value must have leading axes that broadcast, not the shapes"
    refused(ValueError, message, remedy, key=KEY[:, :2])
    refused(ValueError, message, remedy, value=VALUE[:, :2])


# --- attn_mask, is_causal and scale -------------------------------------------------------------------------

BOOLS = np.ones((QUERIES, KEYS), bool)
WANTED = (
    "attn_mask must be an array of bool, True where a query may attend, or of float32, which is added, not"
)
BROADCASTS = "attn_mask must have a shape that broadcasts to"
ATTN_MASKS = {
    "0 and 1": (BOOLS.astype(int), TypeError, WANTED, "; write numpy.asarray(attn_mask, bool) if 1 means to"),
    "1": (1, TypeError, WANTED, "if 1 means to attend"),
    "bytes": (BOOLS.astype("u1"), TypeError, WANTED, "if 1 means to attend"),
    "complex": (BOOLS * 1j, TypeError, WANTED),
    "text": ("causal", TypeError, WANTED, "'causal' of type str"),
    "objects": (np.array([None] * KEYS), TypeError, WANTED),
    "ragged": ([[0.0], [0.0, 1.0]], TypeError, WANTED, "inhomogeneous"),
    "masked": (np.ma.array(BOOLS), TypeError, WANTED, "whose mask would be lost"),
    "Mask": (MASK, TypeError, WANTED, "a Mask is not an array"),
    "float64": (
        BOOLS * 1.0, TypeError, "attn_mask must have the dtype of query, float32, or bool, not float64",
        "; write numpy.asarray(attn_mask, query.dtype)",
    ),
    "list of float64": ([0.0] * KEYS, TypeError, "attn_mask must have the dtype of query, float32, or bool"),
    "transposed": (BOOLS.T, ValueError, BROADCASTS, "(2, 3, 7, 9), not (9, 7)"),
    "larger": (np.ones((5, *WEIGHTS), bool), ValueError, BROADCASTS, "not (5, 2, 3, 7, 9)"),
    "too long": (np.ones(10, bool), ValueError, BROADCASTS, "not (10,)"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", ATTN_MASKS)
def test_an_attn_mask_that_does_not_fit(wrong):
    attn_mask, kind, *fragments = ATTN_MASKS[wrong]
    refused(kind, *fragments, attn_mask=attn_mask)
    refused(kind, *fragments, attn_mask=attn_mask, is_causal=True)


def test_numbers_and_flags():
    for value in (None, 2, "yes", 1.0, np.ones(1, bool)):
        refused(TypeError, "is_causal must be True or False, not", is_causal=value)
    for value in (np.nan, np.inf, -np.inf, 10**400):
        refused(ValueError, "scale must be finite, not", scale=value)
    refused(ValueError, "scale must be finite in float32, not 1e+39", scale=1e39)
    for value in (True, "0.5", 1j, np.ones(1), np.bool_(True)):
        refused(TypeError, "scale must be a real number, not", scale=value)
    refused(TypeError, "training must be True or False, not 'test'", training="test")
    refused(ValueError, "p must be from 0 to 1", p=1.5)
    refused(ValueError, "p must have a shape that can be broadcast", p=np.full(4, 0.5))
    refused(TypeError, "rng must be", rng="0")


def test_a_mask_of_torchs_fourth_place_is_no_p():
    """``scaled_dot_product_attention(query, key, value, attn_mask)``: here p is the fourth."""
    for attn_mask in (BOOLS, None):
        message = "p must be a real number or an array of them"
        refuse(lambda value=attn_mask: fastdrop.attention(QUERY, KEY, VALUE, value), TypeError, message)
    added = np.where(np.tri(QUERIES, KEYS), 0, -np.inf).astype(np.float32)
    refuse(lambda: fastdrop.attention(QUERY, KEY, VALUE, added), ValueError, "p must be from 0 to 1")
    for name in ("dropout_p", "enable_gqa", "noise_shape", "keep_prob"):
        with pytest.raises(TypeError, match=name):
            fastdrop.attention(QUERY, KEY, VALUE, **{name: 0.1})


def test_a_mask_that_does_not_fit():
    given = {"p": 0.5, "rng": 0}
    for name, value in given.items():
        refused(ValueError, f"mask must not be given together with {name}", mask=MASK, **{name: value})
    wrong = [
        (
            fastdrop.Mask((*LEADING, KEYS, QUERIES), 0.5),
            ValueError,
            "mask must have the shape of the weights",
        ),
        (MASK[0], ValueError, "the weights must have the shape (3, 7, 9), not (2, 3, 7, 9)"),
        (
            fastdrop.Mask.from_array(np.ones(5, bool), 0.5),
            ValueError,
            "mask must have the shape of the weights",
        ),
        (BOOLS, TypeError, "mask must be a fastdrop.Mask, not", "; make a mask of an array with"),
        (0.5, TypeError, "mask must be a fastdrop.Mask, not 0.5"),
    ]
    for mask, kind, *fragments in wrong:
        refused(kind, *fragments, mask=mask)
        refused(kind, *fragments, mask=mask, training=False)


# --- What is written to -------------------------------------------------------------------------------------


def test_an_out_that_does_not_fit():
    read_only = np.zeros_like(DY)
    read_only.flags.writeable = False
    repeated = np.lib.stride_tricks.as_strided(np.zeros(400, np.float32), DY.shape, (60, 20, 4, 4))
    wrong = [
        (np.zeros(DY.shape), TypeError, "out must have the dtype of the result, float32, not float64"),
        (np.zeros_like(DY[:1]), ValueError, "out must have the shape of the result, (2, 3, 7, 5), not (1, 3"),
        (np.zeros(DY.shape[::-1], np.float32), ValueError, "out must have the shape of the result"),
        (read_only, ValueError, "out must be writeable"),
        (repeated, ValueError, "out must have its own memory for every element"),
    ]
    for place, kind, message in wrong:
        untouched(lambda out: fastdrop.attention(QUERY, KEY, VALUE, out=out), kind, message, out=place)
    for out in (False, [1.0], DY.tolist(), (None, None, None)):
        refused(TypeError, "out must be a numpy.ndarray, not", out=out)


def test_an_out_may_not_overlap_what_is_read_again():
    """By the next block, and by the backward pass: not even as a whole."""
    sizes = {"own_size": KEYS, "size": KEYS}
    for name in ("query", "key", "value", "attn_mask"):
        query, key, value, dy = operands("float32", KEYS, KEYS, **sizes)
        arrays = {"query": query, "key": key, "value": value, "attn_mask": np.zeros_like(dy)}
        call = lambda out: fastdrop.attention(**arrays, out=out)  # noqa: B023, E731
        message = f"out must not overlap {name}, which a backward pass reads"
        untouched(call, ValueError, message, out=arrays[name])
        untouched(call, ValueError, message, out=arrays[name][::-1])
    # A mask of bool has been made into another one.
    out = np.zeros(DY.shape, np.float32)
    attn_mask = out.view(bool).reshape(-1)[:KEYS]
    fastdrop.attention(QUERY, KEY, VALUE, attn_mask=attn_mask, out=out)


# --- The backward pass --------------------------------------------------------------------------------------


def test_a_backward_pass_refuses_what_does_not_fit():
    y, saved = fastdrop.attention(QUERY, KEY, VALUE, 0.5, rng=0, attn_mask=np.zeros(WEIGHTS, np.float32))
    back = fastdrop.attention_backward
    other = fastdrop.softmax_dropout(QUERY)[1]
    for wrong in (None, MASK, (y, saved), other, 7):
        refuse(
            lambda wrong=wrong: back(DY, wrong), TypeError, "saved must be the SavedAttention that attention"
        )
    swapped = "; the arguments are swapped: write the gradient first and saved second"
    refuse(lambda: back(saved, DY), TypeError, "saved must be the SavedAttention that", swapped)
    refuse(
        lambda: back(DY, (y, saved)), TypeError, "saved must", "; take saved out of the result: y, saved ="
    )

    def going_back(dy):
        return lambda dquery, dkey, dvalue: back(dy, saved, out=(dquery, dkey, dvalue))

    outs = {"dquery": np.full_like(QUERY, 7), "dkey": np.full_like(KEY, 7), "dvalue": np.full_like(VALUE, 7)}
    message = "dy must have the dtype of query, float32, not float64; write numpy.asarray(dy, query.dtype)"
    untouched(going_back(DY.astype(float)), TypeError, message, **outs)
    untouched(going_back(DY[:1]), ValueError, "dy must have the shape (2, 3, 7, 5), not (1, 3, 7, 5)", **outs)
    untouched(going_back(DY[0]), ValueError, "dy must have the shape (2, 3, 7, 5), not (3, 7, 5)", **outs)
    untouched(going_back(np.ones(DY.shape, int)), TypeError, "dy must be an array of float16", **outs)
    untouched(
        going_back(np.ma.array(DY)), TypeError, "dy must be an array of float16", "mask would be", **outs
    )
    for wrong in (DY, (None, None), [None] * 4, "abc", {1: None, 2: None, 3: None}):
        wanted = "out must be a tuple of three arrays or None, for dquery, dkey and dvalue, not"
        refuse(lambda wrong=wrong: back(DY, saved, out=wrong), TypeError, wanted)


def test_gradients_may_not_overlap_anything():
    query, key, value, dy = operands("float32", KEYS, KEYS, own_size=8)
    attn_mask = np.zeros((*LEADING, KEYS, KEYS), np.float32)
    y, saved = fastdrop.attention(query, key, value, 0.5, rng=0, attn_mask=attn_mask)
    free = [np.full_like(query, 7) for _ in range(3)]
    given = {"dy": dy, "saved.query": query, "saved.key": key, "saved.value": value, "saved.y": y}
    names = ("dquery", "dkey", "dvalue")

    def call(dquery, dkey, dvalue):
        fastdrop.attention_backward(dy, saved, out=(dquery, dkey, dvalue))

    for at in range(3):
        for name, array in given.items():
            outs = dict(zip(names, free, strict=True)) | {names[at]: array}
            untouched(call, ValueError, f"out[{at}] must not overlap {name}", **outs)
        for wrong, kind, message in [
            (free[at].astype(float), TypeError, "must have the dtype of"),
            (free[at][:1], ValueError, "must have the shape of"),
            (False, TypeError, "must be a numpy.ndarray, not False"),
        ]:
            outs = [wrong if own == at else one for own, one in enumerate(free)]
            refuse(lambda outs=outs: call(*outs), kind, f"out[{at}] {message}")
    both = dict(zip(names, (free[0], free[1], free[1][::-1]), strict=True))
    untouched(call, ValueError, "out[2] must not overlap out[1]", **both)
    # A gradient may have the shape of an added mask, and of lse with one more axis.
    query, key, value, dy = operands("float32", 8, 8, 8, 8)
    attn_mask = np.zeros((*LEADING, 8, 8), np.float32)
    _, saved = fastdrop.attention(query, key, value, attn_mask=attn_mask)

    def first(out):
        fastdrop.attention_backward(dy, saved, out=(out, None, None))

    untouched(first, ValueError, "out[0] must not overlap saved.attn_mask", out=attn_mask)
    query, key, value, dy = operands("float32", 1, 8, 1, 1)
    _, saved = fastdrop.attention(query, key, value)
    untouched(first, ValueError, "out[0] must not overlap saved.lse", out=saved.lse[..., np.newaxis])


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_a_mask_of_zeros_and_ones_where_p_is(dtype):
    """The fourth argument, as in torch. Zeros drop nothing, which is what they mean if they are added."""
    query, key, value, _ = operands(np.float32)
    ones = np.tri(QUERIES, KEYS).astype(dtype)
    masks = fastdrop.MaskGenerator(0)
    with pytest.raises(
        ValueError, match="p must not be an array of zeros and ones only, which is a mask: write"
    ):
        fastdrop.attention(query, key, value, ones, rng=masks)
    assert masks.state["stream"] == 0
    y, _ = fastdrop.attention(query, key, value, 0 * ones, rng=masks)
    assert same_bytes(y, fastdrop.attention(query, key, value)[0])


@pytest.mark.parametrize("p", [0, 0.0])
def test_a_p_of_zero_may_stand_beside_a_mask(p):
    query, key, value, _ = operands(np.float32)
    assert fastdrop.attention(query, key, value, p, mask=MASK)[1].mask == MASK


# --- Values -------------------------------------------------------------------------------------------------


@every_dtype
def test_values_beyond_a_dtype_are_infinite_or_nan_and_no_warning(dtype):
    """As of every other function here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (6e4, np.inf, -np.inf, np.nan):
            for at in range(4):
                arrays = [array.copy() for array in operands(dtype)]
                arrays[at][0, 0, :2] = np.array(value, dtype)
                results = attend(*arrays, p=0.5, rng=0)
                others = [without_nans(result) for result in results]
                assert all(result.dtype == np.dtype(dtype) for result in others)
                # Another head is not touched by it.
                wanted = exact(*operands(dtype), fastdrop.Mask(WEIGHTS, 0.5, seed=0))
                check([result[1] for result in results], [right[1] for right in wanted], dtype)


@every_dtype
def test_no_features_and_no_values(dtype):
    query, key, value, dy = operands(dtype, size=0)
    wanted = exact(query, key, value, dy, MASK, scale=1.0)
    check(attend(query, key, value, dy, mask=MASK), wanted, dtype)
    query, key, value, dy = operands(dtype, own_size=0)
    y, saved = fastdrop.attention(query, key, value, mask=MASK)
    assert same_bytes(y, np.zeros((*LEADING, QUERIES, 0), dtype))
    assert not any(gradient.any() for gradient in fastdrop.attention_backward(dy, saved))
