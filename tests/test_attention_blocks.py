# SPDX-License-Identifier: BSD-3-Clause
"""However attention is cut, by blocks, threads or shards: the same mask, and results within the bounds."""

import itertools

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, same_bytes
from attention_cases import attend, check, exact, normal, operands, triangle
from fastdrop.fused import _attention_blocks
from fastdrop.fused._attention_blocks import blocks

# --- The cut ------------------------------------------------------------------------------------------------

SHAPES = [
    (7, 9),
    (1, 1),
    (9, 7),
    (2, 3, 7, 9),
    (4, 1, 2, 5, 5),
    (1, 6, 3, 4),
    (130, 200),
    (3, 70, 70),
    (5, 64, 1),
]


def cut(monkeypatch, block_bytes, causal_rows=64, fewest_rows=1):
    monkeypatch.setattr(_attention_blocks, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(_attention_blocks, "CAUSAL_ROWS", causal_rows)
    monkeypatch.setattr(_attention_blocks, "FEWEST_ROWS", fewest_rows)


@pytest.mark.parametrize("fewest_rows", [1, 4])
@pytest.mark.parametrize("block_bytes", [1, 100, 1000, 5000, 1 << 20])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_score_is_in_one_block(monkeypatch, shape, block_bytes, fewest_rows):
    cut(monkeypatch, block_bytes, 5, fewest_rows)
    for is_causal in (False, True):
        counts = np.zeros(shape, int)
        for block in blocks(shape, is_causal, 4):
            part = counts[block.queries][..., block.keys]
            assert 4 * part.size <= block_bytes or part.size <= fewest_rows * shape[-1]
            part += 1
            assert part.shape[-2] <= (5 if is_causal else shape[-2])
        seen = np.broadcast_to(triangle(*shape[-2:]), shape) if is_causal else np.ones(shape, bool)
        assert (counts[seen] == 1).all()
        assert counts.max() == 1


def test_what_no_row_of_a_block_sees_is_left_out(monkeypatch):
    cut(monkeypatch, 1 << 20)
    ends = [(block.rows.stop, block.keys.stop) for block in blocks((200, 150), True, 4)]
    assert ends == [(64, 64), (128, 128), (192, 150), (200, 150)]
    cut(monkeypatch, 10 * 40 * 4)  # ten rows of 40 keys
    assert [block.queries for block in blocks((3, 4, 4, 40), False, 4)][:3] == [
        (0, slice(0, 2), slice(0, 4)), (0, slice(2, 4), slice(0, 4)), (1, slice(0, 2), slice(0, 4)),
    ]  # fmt: skip


# --- Results ------------------------------------------------------------------------------------------------

LEADING, QUERIES, KEYS = (2, 3), 13, 17
WEIGHTS = (*LEADING, QUERIES, KEYS)
# Bytes of a block, and rows of a causal one: of one row; of some rows; of a head; of several heads; of all.
CUTS = [
    (1, 64),
    (4 * KEYS * 4, 64),
    (4 * KEYS * 4, 3),
    (KEYS * QUERIES * 4, 5),
    (2 * KEYS * QUERIES * 4, 64),
    (1 << 20, 4),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block", CUTS, ids=str)
@pytest.mark.parametrize("is_causal", [False, True])
def test_blocks_of_every_size(monkeypatch, block, is_causal, dtype):
    cut(monkeypatch, *block)
    arrays = operands(dtype, QUERIES, KEYS, leading=LEADING)
    mask = fastdrop.Mask(WEIGHTS, 0.25, seed=3)
    seen = triangle(QUERIES, KEYS) if is_causal else np.True_
    wanted = exact(*arrays, mask, seen=seen)
    check(attend(*arrays, p=0.25, rng=3, is_causal=is_causal), wanted, dtype)
    may_attend = normal(9, "float32", WEIGHTS) > -1
    wanted = exact(*arrays, mask, seen=seen & may_attend)
    check(attend(*arrays, mask=mask, is_causal=is_causal, attn_mask=may_attend), wanted, dtype)


@pytest.mark.parametrize("block", CUTS, ids=str)
@pytest.mark.parametrize(
    "axes",
    [((2, 3), (2, 1), (2, 1)), ((2, 3), (1, 3), ()), ((), (2, 3), (3,)), ((3,), (2, 1), (2, 3))],
    ids=str,
)
def test_blocks_of_operands_that_are_shared(monkeypatch, block, axes):
    cut(monkeypatch, *block)
    query, key, value, dy = operands("float32", QUERIES, KEYS, leading=LEADING)
    shapes = ((*own, *like.shape[-2:]) for own, like in zip(axes, (query, key, value), strict=True))
    given = [normal(seed, "float32", shape) for seed, shape in enumerate(shapes)]
    mask = fastdrop.Mask(WEIGHTS, 0.25, seed=3)
    for is_causal, seen in ((False, np.True_), (True, triangle(QUERIES, KEYS))):
        wanted = exact(*given, dy, mask, seen=seen)
        check(attend(*given, dy, mask=mask, is_causal=is_causal), wanted, "float32")


@pytest.mark.parametrize("block", CUTS, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_outputs_are_written_block_by_block(monkeypatch, block, dtype):
    """Into views, whatever was there."""
    cut(monkeypatch, *block)
    arrays = operands(dtype, KEYS, KEYS, own_size=8, leading=LEADING)
    mask = fastdrop.Mask((*LEADING, KEYS, KEYS), 0.25, seed=3)
    together = np.full((4, 2, KEYS, 3, 8), np.nan, dtype)
    out, *gradients = (part.transpose(0, 2, 1, 3) for part in together)
    results = attend(*arrays, mask=mask, is_causal=True, out=out, gradients=tuple(gradients))
    check(results, exact(*arrays, mask, seen=triangle(KEYS, KEYS)), dtype)
    assert all(np.may_share_memory(result, together) for result in results)
    assert not np.isnan(together).any()


def weights_of(arrays, **options):
    """The dropped weights of an attention: y of the identity, whose products are exact."""
    query, key = arrays[:2]
    return fastdrop.attention(query, key, np.eye(key.shape[-2], dtype=query.dtype), **options)[0]


@pytest.mark.parametrize("generator", ["ars4x32-7", "philox4x32-10"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_masks_are_those_of_dropout_whatever_the_blocks(monkeypatch, threads, generator, is_causal):
    shape = (2, 3, 70, 90)
    arrays = operands("float32", 70, 90, leading=(2, 3))
    wanted = fastdrop.Mask(shape, 0.5, seed=3, generator=generator)
    rng = lambda: fastdrop.MaskGenerator(3, generator=generator)  # noqa: E731
    kept = wanted.to_numpy() & (triangle(70, 90) if is_causal else True)
    for block, count in itertools.product(
        [(1, 64), (3000, 64), (3000, 7), (1 << 20, 64), (1 << 20, 1)], (1, 3)
    ):
        cut(monkeypatch, *block)
        with threads(count):
            options = {"p": 0.5, "is_causal": is_causal}
            _, saved = fastdrop.attention(*arrays[:3], rng=rng(), **options)
            assert saved.mask == wanted
            assert ((weights_of(arrays, rng=rng(), **options) != 0) == kept).all()


def test_scores_and_weights_do_not_depend_on_the_blocks_where_products_are_exact(monkeypatch):
    """Of small integers, whose sums need no rounding: then bits are the same, of a row and of all."""
    arrays = [np.round(array) for array in operands("float32", 70, 90, leading=(2, 3))]
    options = {"p": 0.5, "rng": 3, "scale": 0.25, "is_causal": True}
    wanted = weights_of(arrays, **options)
    scores = arrays[0] @ arrays[1].swapaxes(-1, -2)
    y, _ = fastdrop.softmax_dropout(scores, 0.5, scale=0.25, is_causal=True, rng=3)
    assert same_bytes(wanted, y)
    for block in ((1, 64), (3000, 7), (60_000, 64)):
        cut(monkeypatch, *block)
        assert same_bytes(weights_of(arrays, **options), wanted)


def test_shards_of_batch_and_heads_get_parts_of_the_mask():
    leading = 4, 6
    arrays = operands("float32", QUERIES, KEYS, leading=leading)
    whole = fastdrop.Mask((*leading, QUERIES, KEYS), 0.25, seed=3)
    wanted = exact(*arrays, whole)
    for index in ((slice(0, 2),), (slice(2, 4), slice(3, 6)), (1,), (slice(None), 5), (3, slice(1, 2))):
        parts = [array[index] for array in arrays]
        results = attend(*parts, mask=whole[index])
        check(results, [result[index] for result in wanted], "float32")
        assert fastdrop.attention(*parts[:3], mask=whole[index])[1].mask == whole[index]
    # Queries may be cut, too: their keys' gradients are then parts of a sum.
    rows = slice(5, 11)
    query, key, value, dy = arrays
    results = attend(query[..., rows, :], key, value, dy[..., rows, :], mask=whole[..., rows, :])
    for result, right in zip(results[:2], wanted[:2], strict=True):
        right[..., rows, :].check(result)


# --- Draws --------------------------------------------------------------------------------------------------


def test_one_mask_is_drawn_for_each_call():
    arrays = operands("float32", QUERIES, KEYS, leading=LEADING)
    ours, theirs = fastdrop.MaskGenerator(5), fastdrop.MaskGenerator(5)
    weights = np.ones(WEIGHTS, np.float32)
    for p in (0.3, 0.0, np.linspace(0, 1, KEYS), 0.5):
        _, saved = fastdrop.attention(*arrays[:3], p, rng=ours)
        assert saved.mask == fastdrop.dropout(weights, p, rng=theirs)[1]
    assert ours.state == theirs.state


def test_evaluation_draws_nothing():
    arrays = operands("float32", QUERIES, KEYS, leading=LEADING)
    masks = fastdrop.MaskGenerator(5)
    before = masks.state
    wanted = exact(*arrays, fastdrop.Mask(WEIGHTS, 0.0, seed=0))
    given = {"mask": fastdrop.Mask(WEIGHTS, 0.9, seed=0)}
    for options in ({"p": 0.3, "rng": masks}, given, {}):
        check(attend(*arrays, training=False, **options), wanted, "float32")
    check(attend(*arrays), wanted, "float32")
    attend(*arrays, **given)
    assert masks.state == before
