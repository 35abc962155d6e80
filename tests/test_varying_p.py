# SPDX-License-Identifier: BSD-3-Clause
"""A p of every column, channel or element, at many lengths until the values repeat.

The core keeps a whole period in a table if it has no more than 2^16 elements, and otherwise 4,096 of them at
a time.
"""

import functools
import math

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, LAYOUTS, same_bytes, special_values
from decisions import element_numbers, kept, turning_keep_probs, turning_probabilities
from fastdrop import reference
from operations import SEED, STREAM
from processes import run

# The elements until p repeats, as channels and what each of them has.
PERIODS = {1: (1, 1), 3: (3, 1), 100: (10, 10), 1000: (8, 125), 4096: (64, 64), 5000: (20, 250)}
PERIODS[70_000] = (70, 1000)


def forms():
    """By name: shape, noise shape, and the shape of p."""
    for period, (channels, inner) in PERIODS.items():
        rows = max(2, 11_000 // period)
        yield f"columns, {period}", (rows, period), (rows, period), (period,)
        yield f"channels, {period}", (rows, channels, inner), (rows, channels, inner), (channels, 1)
        yield f"channels that share, {period}", (rows, channels, inner), (rows, channels, 1), (channels, 1)
        yield f"rows that are equal, {period}", (rows, period), (1, period), (period,)
        yield f"all, {2 * period}", (2, period), (2, period), (2, period)
    yield "rows that share, 2", (13, 2), (13, 1), (13, 1)
    yield "rows that share, 1100", (13, 1100), (13, 1), (13, 1)
    yield "rows that share, 6000", (3, 6000), (3, 1), (3, 1)  # a block of strided data is one row


FORMS = {name: form for name, *form in forms()}


@functools.cache
def drawn(form, generator):
    """Rates, among them 0, 1 and some that tie with a word; p for every element; who is kept."""
    shape, noise, rates = FORMS[form]
    numbers = element_numbers(math.prod(noise), generator, SEED, STREAM).reshape(noise)
    rng = np.random.default_rng(len(form))
    p = rng.random(rates)
    which = rng.random(rates)
    first = numbers[tuple(slice(n) for n in (1,) * (len(noise) - len(rates)) + rates)].reshape(rates)
    tied = ((first >> np.uint64(48)).astype(np.float64) + rng.random(rates)) / 2**16
    p = np.select([which < 0.2, which < 0.3, which < 0.6], [0.0, 1.0, tied], p)
    keep = np.broadcast_to(kept(numbers, np.broadcast_to(p, noise)), shape)
    return p, np.broadcast_to(p, shape), keep


@functools.cache
def expected(form, generator, dtype, inverted=True):
    p, each, keep = drawn(form, generator)
    x = special_values(keep.shape, dtype)
    scale = np.ones(each.shape)
    if inverted:
        np.divide(1.0, 1.0 - each, out=scale, where=each < 1)
    y = reference.OPERATIONS["dropout"](keep, x, scale)
    return p, x, np.where((each == 0) & (scale == 1), x, y)


def mask_of(form, generator, p, **options):
    shape, noise, _ = FORMS[form]
    return fastdrop.Mask(
        shape, p, noise_shape=noise, seed=SEED, stream=STREAM, generator=generator, **options
    )


def test_decisions_are_those_of_every_elements_own_p(isa, generator):
    for form in FORMS:
        p, _, keep = drawn(form, generator)
        mask = mask_of(form, generator, p)
        assert same_bytes(mask.to_numpy(), np.ascontiguousarray(keep)), form
        # Windows in which p varies and the rows are not whole, and one value of p along an axis.
        for cut in (np.s_[1:, ::-1], np.s_[::2, 1:], np.s_[-1], np.s_[..., 1::3], np.s_[1:2], np.s_[..., :1]):
            assert same_bytes(mask[cut].to_numpy(), keep[cut].copy()), (form, cut)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_scaled_by_every_elements_own_p(isa, dtype):
    """And bits are copied where p is 0, signalling NaNs among them."""
    for form in FORMS:
        p, x, y = expected(form, "ars4x32-7", dtype)
        mask = mask_of(form, "ars4x32-7", p)
        assert same_bytes(mask.apply(x), y), form
        assert same_bytes(fastdrop.dropout_backward(x, mask), y), form
        assert same_bytes(mask.apply(x, out=np.full_like(x, 7)), y), form
        assert same_bytes(mask.apply((in_place := x.copy()), out=in_place), y), form


def test_the_other_generator_and_no_scale(isa):
    for form in FORMS:
        p, x, y = expected(form, "philox4x32-10", "float32", inverted=False)
        assert same_bytes(mask_of(form, "philox4x32-10", p, inverted=False).apply(x), y), form


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout(layout):
    """The blocks of strided arrays are windows: along the axis of p a block may have one index."""
    for form in FORMS:
        p, x, y = expected(form, "ars4x32-7", "float32")
        mask, given = mask_of(form, "ars4x32-7", p), layout(x)
        assert same_bytes(mask.apply(given), y), form
        if given.flags.writeable:
            out = layout(np.full_like(x, 7))
            assert same_bytes(np.ascontiguousarray(mask.apply(given, out=out), np.float32), y), form
            assert same_bytes(np.ascontiguousarray(mask.apply(given, out=given), np.float32), y), form


@pytest.mark.parametrize("rates", [(100,), (4096,), (5000,), (70_000,), "all"], ids=str)
def test_threads_share_a_table_or_have_one_each(isa, threads, rates):
    size = 3 * 2**19 + 4097
    p = np.random.default_rng(1).random(size if rates == "all" else rates)
    p[::5], p[3::7] = 0, 1
    shape = (size,) if rates == "all" else (size // p.size, p.size)
    whole = np.broadcast_to(p, shape)
    mask = fastdrop.Mask(shape, p, seed=SEED)
    x = special_values(shape, np.float32)
    with threads(1):
        parts = range(0, shape[0], 2**18 if rates == "all" else max(1, 2**18 // p.size))  # small windows
        ends = [*parts[1:], shape[0]]
        y = np.concatenate([mask[a:b].apply(x[a:b]) for a, b in zip(parts, ends, strict=True)])
        assert same_bytes(y[whole == 0], x[whole == 0])
        assert not y[whole == 1].any()
    with threads(3):
        assert same_bytes(mask.apply(x), y)
        assert same_bytes(mask.to_numpy()[whole == 0], np.ones((whole == 0).sum(), bool))
        mask.apply(x, out=x)
        assert same_bytes(x, y)


# --- Ties ------------------------------------------------------------------------------------------

# A shape and its noise shape: what is drawn where it is, gathered, and shared.
TIED = {
    "drawn": ((5000,), (5000,)),
    "drawn by rows": ((7, 700), (7, 700)),
    "gathered": ((40, 120), (40, 120)),
    "equal rows": ((3, 5000), (1, 5000)),
    "shared by few": ((4100, 2), (4100, 1)),
    "shared by many": ((60, 600), (60, 1)),
}


@functools.cache
def turning_rates(noise, generator):
    """The nearest p on both sides of every U, and the same of the probability of keeping."""
    numbers = element_numbers(math.prod(noise), generator, SEED, STREAM).tolist()
    at_most, above = np.array([turning_probabilities(number) for number in numbers]).T
    enough, less = np.array([turning_keep_probs(number) for number in numbers]).T
    return [
        (which, rates.reshape(noise), keep)
        for which, rates, keep in [
            ("p", at_most, True),
            ("p", above, False),
            ("keep_prob", enough, True),
            ("keep_prob", less, False),
        ]
    ]


@pytest.mark.parametrize("form", TIED)
def test_every_decision_turns_at_the_elements_own_number(isa, generator, form):
    """Where the upper half of every number ties with its threshold, or nearly does."""
    shape, noise = TIED[form]
    for which, rates, keep in turning_rates(noise, generator):
        options = {"noise_shape": noise, "seed": SEED, "stream": STREAM, "generator": generator}
        mask = fastdrop.Mask(shape, **{which: rates}, **options)
        assert (mask.to_numpy() == keep).all(), which
        cut = mask[1:, 1:] if len(shape) > 1 else mask[5:]
        assert (cut.apply(np.ones(cut.shape, np.float32)) > 0).all() == keep, which
        assert (cut.to_numpy() == keep).all(), which


def test_without_memory_for_a_table_the_result_is_the_same_or_nothing_is_written():
    """In the blocks of a strided array and in one piece: nothing is thrown when a thread has begun."""
    code = """
        import resource, numpy as np, fastdrop
        mask = fastdrop.Mask((1200, 1000), np.linspace(0, 1, 1000), seed=0)
        whole = fastdrop.Mask((1200, 1000), np.linspace(0, 1, 1_200_000).reshape(1200, 1000), seed=0)
        x = np.ones((1200, 2000), np.float32)
        given = (x[:, ::2], np.ones((1200, 1000), "f4"), np.ones((1200, 1000), "f4", order="F"))
        calls = [(which, x, np.ones_like(x)) for which in (mask, whole) for x in given]
        wanted = [which.apply(given) for which, given, _ in calls]
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        limits = resource.getrlimit(resource.RLIMIT_AS)
        held, outcomes = [], set()
        resource.setrlimit(resource.RLIMIT_AS, (used, limits[1]))
        try:
            while True:
                held.append(bytearray(10_000))
        except MemoryError:
            pass
        for left in (len(held), *range(40, 0, -1)):  # nothing is free, and then ever more
            del held[left:]
            for (which, given, out), y in zip(calls, wanted):
                try:
                    which.apply(given, out=out)
                    outcome = "done"
                except MemoryError:
                    outcome = "refused"
                resource.setrlimit(resource.RLIMIT_AS, limits)
                assert (out == (1 if outcome == "refused" else y)).all(), outcome
                out[...] = 1
                outcomes.add(outcome)
                resource.setrlimit(resource.RLIMIT_AS, (used, limits[1]))
        print(*sorted(outcomes))
    """
    for count in "12":
        assert run(code, OMP_NUM_THREADS=count) == "done refused"
