# SPDX-License-Identifier: BSD-3-Clause
"""The stream is the published one: every number is judged by somebody else's implementation.

Random123's published answers and two packages by others (``cryptography`` for the AES round,
``randomgen`` for Philox) judge the reference, the reference judges the compiled generators block by
block, and golden masks made by an independent program judge both from the seed to the last bit.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import randomgen
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import fastdrop
from fastdrop import _core, reference
from fastdrop.reference.dropout import _SBOX, _aes_round, _xtime

# Counter, key, output, as in docs/stream.md section 1. The 10-round ARS rows and all Philox rows are those of
# Random123's tests/kat_vectors; it publishes no 7-round ARS rows, so these were made by running Random123.
PI = "243f6a88 85a308d3 13198a2e 03707344"  # the digits of pi, the usual numbers nobody chose
PI_KEY = "a4093822 299f31d0 082efa98 ec4e6c89"
ONES = "ffffffff ffffffff ffffffff ffffffff"
ZEROS = "00000000 00000000 00000000 00000000"
ONES_ZEROS = "ffffffff ffffffff 00000000 00000000"
KNOWN_ANSWERS = {
    ("ars4x32", 7): [
        (ZEROS, ZEROS, "dacf61ff c45798f3 113c7eeb 101e27f3"),
        (ONES, ONES_ZEROS, "5e39c131 d1121a9c ba0a9803 9372482d"),
        (ONES, ONES, "fbaaff1f bb547ef9 13d8cd78 7aaa969b"),
        (PI, PI_KEY, "d1df87af f67d43ba 4f66afdb 393dcb2d"),
    ],
    ("ars4x32", 10): [
        (ZEROS, ZEROS, "8d73ee19 506401ef 13c2dbe4 0cbe9c0d"),
        (ONES, ONES_ZEROS, "bb3743b1 9f635551 ecbc87fc a19478a9"),
        (PI, PI_KEY, "a516e7d6 8357ad74 5b59b3ec 8763fff3"),
    ],
    ("philox4x32", 7): [
        (ZEROS, "00000000 00000000", "5f6fb709 0d893f64 4f121f81 4f730a48"),
        (ONES, "ffffffff ffffffff", "5207ddc2 45165e59 4d8ee751 8c52f662"),
        (PI, "a4093822 299f31d0", "4dfccaba 190a87f0 c47362ba b6b5242a"),
    ],
    ("philox4x32", 10): [
        (ZEROS, "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (ONES, "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (PI, "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
}
ROWS = [
    pytest.param(function, rounds, *row, id=f"{function}-{rounds}-row{number}")
    for (function, rounds), rows in KNOWN_ANSWERS.items()
    for number, row in enumerate(rows)
]
COMPILED_ROWS = [row for row in ROWS if f"{row.values[0]}-{row.values[1]}" in reference.GENERATORS]

DATA = Path(__file__).parents[1] / "python" / "fastdrop" / "data"
GOLDEN = json.loads((DATA / "golden-masks-v1.json").read_text())
golden = pytest.mark.parametrize(
    "row", GOLDEN, ids=lambda row: "{generator}-seed{seed}-stream{stream}-from{start}-p{p}".format_map(row)
)


def words(text):
    return np.array([int(word, 16) for word in text.split()], np.uint32)


def counters(low, high, count):
    """Counters as `_core.generate` numbers them: the low 64 bits count up and wrap, the high ones stay."""
    rows = np.empty((count, 2), np.uint64)
    rows[:, 0] = np.uint64(low) + np.arange(count, dtype=np.uint64)
    rows[:, 1] = high
    return rows.view(np.uint32)


# --- Published answers ----------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "rounds", "counter", "key", "output"), ROWS)
def test_reference_gives_the_published_answer(function, rounds, counter, key, output):
    result = getattr(reference, function)(words(counter)[np.newaxis], words(key), rounds)
    np.testing.assert_array_equal(result, [words(output)])


@pytest.mark.parametrize(("function", "rounds", "counter", "key", "output"), COMPILED_ROWS)
def test_core_gives_the_published_answer_in_every_lane(isa, function, rounds, counter, key, output):
    low, high = (int(half) for half in words(counter).view(np.uint64))
    key = np.resize(words(key), 4)  # Philox has two words and must not look at the other two
    for lane in range(16):  # a tile is 16 blocks, and no vector is longer than a tile
        blocks = _core.generate(f"{function}-{rounds}", (low - lane) % 2**64, high, tuple(key.tolist()), 16)
        np.testing.assert_array_equal(blocks[lane], words(output))


# --- Oracles by others ----------------------------------------------------------------------------


def aes128(blocks, key):
    """AES-128 (FIPS 197) out of the reference's rounds; the key schedule is written out here."""
    schedule = [key[4 * number : 4 * number + 4] for number in range(4)]
    round_constant = 1
    for number in range(4, 44):
        word = schedule[-1]
        if number % 4 == 0:
            word = _SBOX[np.roll(word, -1)]
            word[0] ^= round_constant
            round_constant = _xtime(round_constant)
        schedule.append(word ^ schedule[-4])
    round_keys = np.concatenate(schedule).reshape(11, 16)
    state = blocks ^ round_keys[0]
    for number in range(1, 11):
        state = _aes_round(state, round_keys[number], last=number == 10)
    return state


def test_reference_aes_round_builds_the_aes_of_cryptography():
    random = np.random.default_rng(197)
    for _ in range(100):
        key = random.integers(0, 256, 16, np.uint8)
        blocks = random.integers(0, 256, (100, 16), np.uint8)
        encryptor = Cipher(algorithms.AES(key.tobytes()), modes.ECB()).encryptor()
        assert aes128(blocks, key).tobytes() == encryptor.update(blocks.tobytes()) + encryptor.finalize()


@pytest.mark.parametrize("start", [1, 2**32 - 500, 2**64 - 1001, 2**127 + 1])
@pytest.mark.parametrize("key", [0, 0x299F31D0A4093822, 2**64 - 1])
def test_reference_philox_is_the_philox_of_randomgen(start, key):
    # randomgen counts before it generates, so its first block is that of the counter after the one given.
    theirs = randomgen.Philox(counter=start - 1, key=key, number=4, width=32).random_raw(4 * 1000)
    ours = reference.philox4x32(counters(start % 2**64, start >> 64, 1000), (key & 0xFFFFFFFF, key >> 32))
    np.testing.assert_array_equal(ours.ravel(), theirs)


# --- The compiled generators ----------------------------------------------------------------------

# Low and high counter half, number of blocks: 113,000 blocks in all. The start and the count are odd
# so that the carry falls in the middle of a vector and something is left over for the tail.
RUNS = [
    (0, 0, 50_000),
    (2**32 - 5_001, 7, 10_003),
    (2**64 - 5_003, 2**63 - 1, 10_007),  # wraps: the high half must not see a carry
    (2**63 + 1, 2**64 - 1, 10_001),
    (2**61 - 1_025, 0x0123456789ABCDEF, 32_989),
]
KEYS = [tuple(words(ZEROS).tolist()), tuple(words(PI_KEY).tolist()), tuple(words(ONES).tolist())]


def test_core_blocks_equal_the_reference(isa, generator):
    assert sum(count for _, _, count in RUNS) >= 10**5
    for number, (low, high, count) in enumerate(RUNS):
        key = KEYS[(number + 1) % len(KEYS)]
        blocks = _core.generate(generator, low, high, key, count)
        assert blocks.dtype == np.uint32
        assert blocks.shape == (count, 4)
        expected = reference.GENERATORS[generator](counters(low, high, count), key)
        np.testing.assert_array_equal(blocks, expected)


def test_core_blocks_do_not_depend_on_how_many_are_asked_for(isa, generator):
    start = 2**32 - 20
    whole = reference.GENERATORS[generator](counters(start, 1, 70), KEYS[1])
    for count in range(70):  # more than four tiles of 16 blocks, each count once
        np.testing.assert_array_equal(_core.generate(generator, start, 1, KEYS[1], count), whole[:count])


# --- Golden masks ---------------------------------------------------------------------------------


def check_golden(kept, row):
    start = int(row["start"])
    assert kept.shape == (row["n"],)
    assert kept.dtype == bool
    assert int(kept.sum()) == row["kept"]
    assert "".join(map(str, kept[:64].astype(int))) == row["first64"]
    assert [[index, int(kept[index - start])] for index, _ in row["ties"]] == row["ties"]
    packed = np.packbits(kept, bitorder="little").tobytes()
    assert hashlib.sha256(packed).hexdigest() == row["sha256_packbits_little"]


@golden
def test_reference_gives_the_golden_mask(row):
    p, stream, start, count = float.fromhex(row["p_hex"]), int(row["stream"]), int(row["start"]), row["n"]
    key = reference.key_from(int(row["seed"]))
    assert p == row["p"]
    assert [f"{word:08x}" for word in key] == row["key"]
    assert reference.threshold(p) == int(row["threshold"], 16)
    index = np.uint64(start) + np.arange(count, dtype=np.uint64)
    check_golden(reference.keep(index, p, key=key, stream=stream, generator=row["generator"]), row)

    # The listed ties (the first twelve at most) are ties, and there are no others.
    if 0 < p < 1:
        first_block = start >> 3
        block_count = ((start + count - 1) >> 3) - first_block + 1
        blocks = reference.GENERATORS[row["generator"]](counters(first_block, stream, block_count), key)
        upper = blocks.view("<u2").ravel()[start & 7 :][:count]
        ties = start + np.flatnonzero(upper == int(row["threshold"], 16) >> 48)
        assert len(ties) == row["tie_count"]
        assert ties[:12].tolist() == [index for index, _ in row["ties"]]


@golden
def test_mask_is_the_golden_mask(isa, row):
    start, stop = int(row["start"]), int(row["start"]) + row["n"]
    whole = fastdrop.Mask(
        (stop,), row["p"], seed=int(row["seed"]), stream=int(row["stream"]), generator=row["generator"]
    )
    assert [f"{word:08x}" for word in whole.key] == row["key"]
    check_golden(whole[start:stop].to_numpy(), row)
