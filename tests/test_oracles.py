# SPDX-License-Identifier: BSD-3-Clause
"""Small sizes of ``python -m verification.oracles``, and that it fails when it should."""

import math
import sys

import numpy as np
import pytest

import fastdrop
from bounded import Bounded
from fastdrop import _core
from verification.oracles import __main__ as command
from verification.oracles import operations, rows, scales, streams, words
from verification.oracles.case import Case, Draw


def random():
    return np.random.default_rng(1)


def test_the_rounds_of_the_oracle_make_the_aes_of_openssl(monkeypatch):
    assert words.different_from_openssl(random(), 1000) == 0
    monkeypatch.setattr(words, "TABLES", [words.TABLES[row] for row in (1, 0, 2, 3)])
    assert words.different_from_openssl(random(), 1000) == 1000


def test_blocks_and_decisions_are_those_of_the_oracles(generator):
    assert streams.different_blocks(generator, random(), 2000) == (0, 2000)
    assert streams.different_decisions(generator, random(), 40_000) == (0, 40_000)


def test_a_bit_that_differs_is_counted_on_every_isa(generator, monkeypatch):
    generate, count = _core.generate, len(fastdrop.isas())

    def with_a_wrong_bit(*arguments):
        blocks = generate(*arguments)
        blocks[3, 1] ^= 1
        return blocks

    monkeypatch.setattr(_core, "generate", with_a_wrong_bit)
    assert streams.different_blocks(generator, random(), 16 * 10) == (16 * count, 160)


def test_decisions_of_another_p_are_counted(generator, monkeypatch):
    monkeypatch.setattr(streams, "PROBABILITIES", [0.5])
    right = streams.decisions.threshold
    monkeypatch.setattr(streams.decisions, "threshold", lambda p: right(p) + 2**50)  # 4 of 65,536
    different, count = streams.different_decisions(generator, random(), 100_000)
    assert 0 < different < 100 * len(fastdrop.isas())
    assert count == 100_000


def test_scales_are_those_of_fractions():
    different, count, share = scales.different_scales(random(), 2000)
    assert (different, count) == (0, 4000)
    assert 0.9 < share <= 1


def test_a_scale_that_is_one_unit_off_is_counted(monkeypatch):
    exact = scales.exact_scales
    monkeypatch.setattr(scales, "exact_scales", lambda p: (np.nextafter(exact(p)[0], np.inf), 1.0))
    # One by one, in the array, and as results of float64 on every ISA where it is kept.
    assert scales.different_scales(random(), 100)[0] > 2 * 100


def test_every_operation_is_within_its_bounds():
    shares = {(name, dtype): share for name, dtype, share, _ in operations.worst_shares(300)}
    assert all(share <= 1 for share in shares.values())
    said = {key for key, share in shares.items() if share > 0.01}  # the bounds say something
    assert said == {key for key in shares if key[0] != "keep_mask"}


def test_an_error_beyond_its_bound_is_seen():
    draw = Draw((40, 33), "float32")
    case = next(rows.bias_dropout_add(draw))

    def moved(by):
        def compute():
            (y,), saved = case.compute()
            y = y.copy()
            y[~draw.keep if by == "dropped" else draw.keep] += np.float32(1e-6 if by == "dropped" else by)
            return [y], saved

        return operations.judged(Case("moved", compute, case.textbook))[0]

    assert moved(0.0) <= 1
    assert moved(1e-5) > 1
    assert moved("dropped") > 1
    assert moved(math.nan) == math.inf


def test_a_number_without_a_bound_must_be_exact():
    zero = Bounded(np.zeros(2), "float32")
    assert zero.share(np.zeros(2, np.float32)) == 0
    assert zero.share(np.array([0, 1e-40], np.float32)) == math.inf


def test_an_operation_without_an_oracle_is_refused(monkeypatch):
    monkeypatch.delitem(operations.CASES, "dropout")
    with pytest.raises(NotImplementedError, match=r"must each have an oracle, not \['dropout'\]"):
        next(operations.worst_shares(10))


@pytest.mark.parametrize(("share", "code"), [(0.5, 0), (1.01, 1), (math.inf, 1)])
def test_the_command_says_one_sentence_at_its_end_and_fails_beyond_a_bound(share, code, monkeypatch, capsys):
    sizes = ["--blocks", "16", "--decisions", "64", "--scales", "8", "--elements", "40"]
    monkeypatch.setattr(sys, "argv", ["oracles", *sizes])
    monkeypatch.setattr(operations, "worst_shares", lambda size: iter([("dropout", "float32", share, size)]))
    assert command.main() == code
    last = capsys.readouterr().out.splitlines()[-1]
    blocks = 16 * len(_core.generators) * len(fastdrop.isas())
    assert last.startswith(f"oracles: {blocks} blocks, ")
    assert " 16 scales: 0 differ; 40 results of " in last


def test_the_command_fails_where_words_differ(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["oracles", "--blocks", "16", "--decisions", "64", "--scales", "8"])
    monkeypatch.setattr(operations, "worst_shares", lambda _: iter([]))
    monkeypatch.setattr(streams, "different_blocks", lambda *_: (1, 16))
    assert command.main() == 1
    assert f"{len(_core.generators)} differ" in capsys.readouterr().out


def test_the_command_refuses_a_size(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["oracles", "--elements", "0"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "--elements must be 1 or more, not 0" in capsys.readouterr().err
