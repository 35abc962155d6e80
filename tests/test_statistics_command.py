# SPDX-License-Identifier: BSD-3-Clause
"""Small sizes of ``python -m verification.statistics``, and that it fails when it should.

A script stands for dieharder, so that the tests need no program of the system.
"""

import itertools
import sys

import numpy as np
import pytest

import fastdrop
from faulty_masks import fair, shared_by_four, sixteen_bits
from verification.statistics import __main__ as command
from verification.statistics import battery, dieharder, power, streams

# It reads 20,000 words, and judges whether half of their bits are 1, to ten deviations.
SCRIPT = """#!{python}
import sys
arguments = " ".join(sys.argv[1:])
assert arguments.startswith("-g 200 -d "), arguments
data = sys.stdin.buffer.read(80_000)
ones = sum(byte.bit_count() for byte in data)
kind = "PASSED" if abs(ones - 320_000) < 10 * 400 else "FAILED"
print("#  a heading  #")
print("   test_name   |ntup| tsamples |psamples|  p-value |Assessment")
if "-Y 1" in arguments:
    print(" sts_monobit|   1|    100000|     100|0.00124207|   WEAK   ")
print(f" sts_monobit|   1|    100000|     200|0.89424205|  {{kind}}  ")
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    path = tmp_path / "dieharder"
    path.write_text(SCRIPT.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setattr(dieharder, "program", lambda: str(path))


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["statistics", *arguments])
    return command.main()


# --- The battery ----------------------------------------------------------------------------------


def test_a_small_battery_passes(generator):
    tests = battery.of_masks(battery.masks_of(generator), 2**17)
    found = list(itertools.islice(tests, 14))
    assert all(min(tails) >= 1e-9 for _, tails in found)
    for name, tails in battery.of_kinds(generator):
        assert min(tails) >= 1e-9, name
    for name, tails in battery.of_noise(generator, 2**13):
        assert min(tails) >= 1e-9, name


def test_sharing_that_is_none_is_seen():
    shape, noise_shape = (64, 32, 4), (64, 32, 1)
    shared = fastdrop.Mask(shape, 0.3, seed=1, noise_shape=noise_shape).to_numpy()
    assert min(battery.of_shared(shared, noise_shape, 0.3)) >= 1e-9
    assert min(battery.of_shared(fastdrop.Mask(shape, 0.3, seed=1).to_numpy(), noise_shape, 0.3)) == 0


@pytest.mark.parametrize(("tails", "code"), [([0.5, 1e-5], 0), ([0.5, 4e-7], 0), ([0.5, 2e-7], 1)])
def test_the_battery_fails_below_its_threshold(tails, code, monkeypatch, capsys):
    monkeypatch.setattr(battery, "whole", lambda generator, size: iter([("mean", tails)]))
    assert run(monkeypatch, "masks", "--bits", "200000") == code  # 4 tests in all: 2.5e-7
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("statistics: 4 tests of masks of 131,072 bits and of noise, smallest tail")
    assert last.endswith(f"which is {'below' if code else 'not below'} 2.5e-07")


def test_power_says_what_is_seen_and_fails_for_what_is_not(monkeypatch, capsys):
    check = power.SEEN["one decision for a group of 4: by groups"][1]
    assert power.first_size(shared_by_four, check, 1e-9, 2**20) == 2**12
    assert power.first_size(fair, check, 1e-9, 2**14) is None
    monkeypatch.setattr(power, "SEEN", {"groups of 4": (shared_by_four, check)})
    monkeypatch.setattr(power, "UNSEEN", {"ties": (sixteen_bits, check)})
    assert run(monkeypatch, "power", "--bits", "131072") == 0
    assert "ties: not seen, as was to be expected" in capsys.readouterr().out
    monkeypatch.setattr(power, "SEEN", {"nothing": (fair, check)})
    assert run(monkeypatch, "power", "--bits", "131072") == 1
    assert "statistics: 0 of 1 faults seen in 131,072 bits" in capsys.readouterr().out


# --- Bytes for dieharder --------------------------------------------------------------------------


@pytest.mark.parametrize("source", streams.SOURCES)
def test_words_take_turns_between_streams(generator, source, monkeypatch):
    assert (streams.MANY, len(streams.SOURCES["streams"]())) == (8192, 8192)
    monkeypatch.setattr(streams, "MANY", 64)
    monkeypatch.setattr(streams, "BYTES", 2**14)
    sources = streams.SOURCES[source]()
    assert len(set(sources)) == len(sources) == (1 if source == "one" else 64)
    chunks = streams.chunks(generator, source, "words", 64)
    each = streams.BYTES // 4 // len(sources)
    for number, chunk in zip(range(2), chunks, strict=False):
        assert chunk.shape == (each, len(sources))
        for at in (0, len(sources) - 1):
            wanted = streams.words(generator, *sources[at], 64 + number * each, each)
            np.testing.assert_array_equal(chunk[:, at], wanted)


def test_bits_of_masks_are_the_first_bits_of_their_numbers(generator):
    key, stream = streams.SOURCES["streams"]()[5]
    bits = streams.mask_bits(generator, key, stream, 8, 4)
    words = streams.words(generator, key, stream, 16 * 8, 16 * 4)
    first_bits = words.view("<u2") >> 15
    np.testing.assert_array_equal(np.unpackbits(bits.view("u1"), bitorder="little"), first_bits)


# --- dieharder ------------------------------------------------------------------------------------


def test_results_are_read_and_a_weak_one_is_followed_by_another(script, monkeypatch, capsys):
    assert run(monkeypatch, "dieharder", "ars4x32-7", "one", "--tests", "100", "5") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "statistics: dieharder on words of ars4x32-7, one: 3 results, 0 FAILED, 1 WEAK"


def test_a_failed_test_fails_the_command(script, monkeypatch, capsys):
    monkeypatch.setattr(streams, "chunks", lambda *_: itertools.repeat(np.zeros(1000, "<u4")))
    assert run(monkeypatch, "dieharder", "philox4x32-10", "streams", "--tests", "100") == 1
    assert "1 FAILED" in capsys.readouterr().out


def test_a_program_without_results_is_an_error(monkeypatch):
    monkeypatch.setattr(dieharder, "program", lambda: "/bin/false")
    with pytest.raises(RuntimeError, match="dieharder must give results, not exit 1"):
        dieharder.run((100, None), "ars4x32-7", "one", "words")


def test_a_missing_program_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"dieharder must be installed.*apt-get install dieharder"):
        dieharder.program()


def test_every_test_of_dieharder_is_there_once():
    numbers = [number for number, _ in dieharder.TESTS]
    assert len(set(dieharder.TESTS)) == len(dieharder.TESTS)
    assert set(numbers) == {*range(18), 100, 101, 102, *range(200, 210)} - {14}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["masks", "--bits", "7"], "--bits must be 131,072 or more, not 7"),
        (["dieharder", "ars4x32-7", "one", "--tests", "14"], "--tests must be of"),
        (["dieharder", "ars4x32-7", "two"], "invalid choice"),
        ([], "required"),
    ],
)
def test_the_command_refuses(arguments, text, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *arguments)
    assert text in capsys.readouterr().err
