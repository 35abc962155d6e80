# SPDX-License-Identifier: BSD-3-Clause
"""The drop probability is exactly D / 2**64, with nothing statistical about it.

Every element has one 64-bit number U and is dropped if and only if U < D. This file works U out from the
generator's words alone, by sections 2 and 3 of docs/stream.md, and then asks the compiled masks about the
closest numbers D on either side of it. Of the 2**64 values that U takes equally often, exactly D are below D.
"""

import math

import numpy as np
import pytest

import fastdrop
from fastdrop import reference

SEED, STREAM = 64, 2**32 + 5
SIZE = 2**20  # so that all 65,536 values of the upper 16 bits come up: each about 16 times
WINDOW = 256  # two tiles: the whole vectors of a kernel decide, not its tail
BELOW_2_53 = 32  # upper 16 bits less than this: U and U + 1 are both a double times 2**64
BELOW_2_52 = 16  # and here U + 1/2 is, too


def element_numbers(generator):
    """U of the first `SIZE` elements."""
    generate, key = reference.GENERATORS[generator], reference.key_from(SEED)

    def words(count, use):
        counter = np.zeros((count, 4), np.uint32)
        counter[:, 0] = np.arange(count)
        counter[:, 2:] = STREAM % 2**32, STREAM >> 32 | use << 31
        return generate(counter, key)

    upper = words(SIZE // 8, 0).view("<u2").ravel().astype(np.uint64)
    lower = np.ascontiguousarray(words(SIZE, 1)[:, :2]).view("<u8").ravel() % np.uint64(2**48)
    return upper << np.uint64(48) | lower


@pytest.fixture(scope="module")
def all_numbers():
    return {generator: element_numbers(generator) for generator in reference.GENERATORS}


@pytest.fixture
def numbers(all_numbers, generator):
    return all_numbers[generator]


@pytest.fixture(scope="module")
def first_with_upper(all_numbers):
    """Where each value of the upper 16 bits comes up first."""
    found = {
        generator: np.unique(numbers >> np.uint64(48), return_index=True)
        for generator, numbers in all_numbers.items()
    }
    for values, _ in found.values():
        np.testing.assert_array_equal(values, np.arange(2**16))
    return {generator: where for generator, (_, where) in found.items()}


def mask(generator, threshold):
    """The mask whose D is `threshold`, an integer or half of one that a double times 2**64 can be."""
    p = math.ldexp(threshold, -64)
    assert math.ldexp(p, 64) == threshold
    return fastdrop.Mask((SIZE,), p, seed=SEED, stream=STREAM, generator=generator)


@pytest.mark.parametrize("high", [0, 1, 2, 255, 256, 257, 32767, 32768, 32769, 65280, 65534, 65535, 65536])
def test_exactly_the_smaller_of_all_65536_upper_values_are_dropped(isa, generator, first_with_upper, high):
    dropped = ~mask(generator, high << 48).to_numpy()[first_with_upper[generator]]
    np.testing.assert_array_equal(dropped, np.arange(2**16) < high)


def cases(numbers):
    """Elements with a U that a double can be, and as many others."""
    small = np.flatnonzero(numbers >> np.uint64(48) < BELOW_2_53)
    return [*small, *np.random.default_rng(SEED).choice(SIZE, small.size)]


def thresholds(number):
    """The largest D that a double can be and that keeps the element of that number, and the next one."""
    step = 2 ** max(0, number.bit_length() - 53)  # between neighbouring doubles, and at least 1
    return number // step * step, number // step * step + step


def test_decision_turns_exactly_at_the_number_of_the_element(isa, generator, numbers):
    for index in cases(numbers):
        at_most, above = thresholds(int(numbers[index]))
        window = slice(index // WINDOW * WINDOW, (index // WINDOW + 1) * WINDOW)
        for threshold, expected in [(at_most, True), (above, False)]:
            kept = mask(generator, threshold)[window].to_numpy()
            assert kept[index % WINDOW] == expected
            np.testing.assert_array_equal(kept, numbers[window] >= threshold)


def test_the_references_decision_turns_exactly_at_the_number_of_the_element(generator, numbers):
    """At a tie in all 64 bits, which no other test comes across by chance."""
    options = {"key": reference.key_from(SEED), "stream": STREAM, "generator": generator}
    for index in cases(numbers)[::4]:
        for threshold, expected in zip(thresholds(int(numbers[index])), (True, False), strict=True):
            kept = reference.keep(np.array([index]), math.ldexp(threshold, -64), **options)
            assert kept.tolist() == [expected]


def test_threshold_is_rounded_half_to_even(isa, generator, numbers):
    small = np.flatnonzero(numbers >> np.uint64(48) < BELOW_2_52)
    assert {int(number) % 2 for number in numbers[small]} == {0, 1}
    for index in small:
        kept = mask(generator, int(numbers[index]) + 0.5)[index : index + 1].to_numpy()
        assert kept.tolist() == [int(numbers[index]) % 2 == 0]  # D is U itself, or U + 1


# --- The same from the other side: the probability of keeping is exactly K / 2**64 ------------------


def keeps(generator, index, kept):
    """Whether the mask that keeps if U is one of the `kept` largest of all 2**64 keeps that element."""
    q = math.ldexp(kept, -64)
    assert math.ldexp(q, 64) == kept
    mask = fastdrop.Mask((SIZE,), keep_prob=q, seed=SEED, stream=STREAM, generator=generator)
    return mask[index : index + 1].to_numpy().item()


def test_a_keep_prob_turns_exactly_at_the_number_of_the_element(isa, generator, numbers):
    large = np.flatnonzero(numbers >> np.uint64(48) >= 2**16 - BELOW_2_53)
    for index in [*large, *np.random.default_rng(SEED).choice(SIZE, large.size)]:
        at_least = 2**64 - int(numbers[index])  # so many numbers there are from U on
        step = 2 ** max(0, at_least.bit_length() - 53)
        enough = -(-at_least // step) * step
        assert (keeps(generator, index, enough), keeps(generator, index, enough - step)) == (True, False)


def test_a_keep_prob_is_rounded_half_to_even(isa, generator, numbers):
    large = np.flatnonzero(numbers >> np.uint64(48) >= 2**16 - BELOW_2_52)
    assert {int(number) % 2 for number in numbers[large]} == {0, 1}
    for index in large:
        at_least = 2**64 - int(numbers[index])
        assert keeps(generator, index, at_least - 0.5) == (at_least % 2 == 0)
