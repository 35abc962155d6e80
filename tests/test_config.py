# SPDX-License-Identifier: BSD-3-Clause
"""What runs here and how it is chosen: ISAs, environment variables, `python -m fastdrop`, a clean import."""

import contextlib
import importlib.metadata
import json
import re
from pathlib import Path

import pytest

import fastdrop
from copies import copies
from fastdrop import _core, selftest
from fastdrop.__main__ import main
from processes import python, run

# --- Instruction sets -----------------------------------------------------------------------------

# What each ISA's kernels may use, in the words of /proc/cpuinfo, which lists what the kernel has enabled.
AVX2 = {"sse4_2", "popcnt", "aes", "avx", "f16c", "fma", "avx2"}
NEEDS = {
    "avx512": AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "vaes"},
    "avx2vaes": AVX2 | {"vaes"},
    "avx2": AVX2,
    "scalar": set(),
}


def cpu_flags():
    """The flags that every processor has."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return set.intersection(*(set(line.split()) for line in lines if line.startswith(("flags", "Features"))))


def test_isas_are_those_that_the_processor_has():
    flags = cpu_flags()
    assert {name: usable for name, _, usable in _core.isas()} == {
        name: NEEDS[name] <= flags for name, _, _ in _core.isas()
    }
    built = [name for name, _, _ in _core.isas()]
    assert built == [name for name in NEEDS if name in built]  # best first
    assert fastdrop.isas() == tuple(name for name in built if NEEDS[name] <= flags)
    assert fastdrop.isas()[-1] == "scalar"


def test_use_isa_returns_the_one_before_and_refuses_unknown_ones():
    before = fastdrop.isa()
    try:
        for name in fastdrop.isas():
            previous = fastdrop.isa()
            assert fastdrop.use_isa(name) == previous
            assert fastdrop.isa() == name
            assert fastdrop.show_config("dict")["isa"] == name
        with pytest.raises(ValueError, match="must be one of"):
            fastdrop.use_isa("mmx")
        assert fastdrop.isa() == "scalar"
    finally:
        fastdrop.use_isa(before)


def test_what_a_with_statement_sets_ends_with_it(restore_isa):
    """Nested, after an exception, and for the ISA and the number of threads alike."""
    best, limit = fastdrop.isas()[0], fastdrop.set_num_threads(7)
    try:
        settings = [
            (fastdrop.use_isa, fastdrop.isa, best, "scalar"),
            (fastdrop.set_num_threads, own_limit, 7, 1),
        ]
        for use, current, first, second in settings:
            use(first)
            with use(second) as before:
                assert (before, current()) == (first, second)
                with contextlib.suppress(ZeroDivisionError), use(first):
                    assert current() == first
                    raise ZeroDivisionError
                assert current() == second
            assert current() == first
            before = use(second)
            assert current() == second  # without a with statement it stays
            assert isinstance(before, type(first))
            assert (repr(before), json.dumps([before])) == (repr(first), json.dumps([first]))
            assert (use(before), current()) == (second, first)
            assert list(copies(before)) == [first] * len(list(copies(before)))
            with pytest.raises((TypeError, ValueError)):
                use(None)
            assert current() == first
    finally:
        fastdrop.set_num_threads(limit)


def own_limit():
    """fastdrop's own limit of threads, whatever OpenMP's is."""
    limit = fastdrop.set_num_threads(1)
    fastdrop.set_num_threads(limit)
    return limit


SHOW_ISA = "import fastdrop; print(fastdrop.isa(), fastdrop.show_config('dict')['isa'])"


@pytest.mark.slow  # a process each
@pytest.mark.parametrize("name", fastdrop.isas())
def test_the_environment_chooses_the_isa(name):
    assert run(SHOW_ISA, FASTDROP_ISA=name) == f"{name} {name}"


def test_without_a_choice_the_best_isa_runs():
    assert run(SHOW_ISA, FASTDROP_ISA="") == run(SHOW_ISA) == f"{fastdrop.isas()[0]} {fastdrop.isas()[0]}"


# Every function that needs to know, small arrays included; and that nothing was written.
EVERY_USE = """
    import numpy as np, fastdrop
    x = np.ones(3, np.float32)
    uses = [
        lambda: fastdrop.dropout(x, out=x),
        lambda: fastdrop.dropout(x[::-1], out=x[::-1]),
        lambda: fastdrop.Mask(3).to_numpy(),
        lambda: fastdrop.show_config("dict"),
        lambda: fastdrop.{function}(),
        lambda: fastdrop.{setter},
    ]
    for use in uses:
        try:
            use()
        except ValueError as error:
            print(error)
    assert (x == 1).all()
"""


@pytest.mark.slow  # a process each
@pytest.mark.parametrize("name", ["mmx", "SCALAR", " scalar", "scalar,avx2", "0"])
def test_an_unknown_isa_in_the_environment_is_refused_at_first_use(name):
    """The import succeeds; the first use says what is possible, and so does every later one."""
    code = EVERY_USE.format(function="isa", setter="use_isa('scalar')")
    usable = ", ".join(map(repr, fastdrop.isas()))
    message = f"environment variable FASTDROP_ISA is '{name}'; the instruction sets usable here are {usable}"
    assert run(code, FASTDROP_ISA=name).splitlines() == [message] * 6


# --- Threads --------------------------------------------------------------------------------------


@pytest.mark.slow  # a process each
@pytest.mark.parametrize("value", ["0", "-1", "2.5", "two", "1e3", "0x2", "2 ", " "])
def test_a_bad_number_of_threads_in_the_environment_is_refused_at_first_use(value):
    code = EVERY_USE.format(function="get_num_threads", setter="set_num_threads(1)")
    message = (
        f"environment variable FASTDROP_NUM_THREADS is '{value}'; it must be a whole number of at least 1"
    )
    assert run(code, FASTDROP_NUM_THREADS=value).splitlines() == [message] * 6


@pytest.mark.parametrize(
    ("value", "limit"), [("", 2**31 - 1), ("3", 3), ("99999999999999999999", 2**31 - 1)], ids=repr
)
def test_setting_the_number_of_threads_that_was_returned_restores_the_limit(value, limit):
    code = """
        import fastdrop
        print(fastdrop.get_num_threads(), fastdrop.show_config("dict")["threads"])
        print(fastdrop.set_num_threads(2), fastdrop.get_num_threads())
        print(fastdrop.set_num_threads(1), fastdrop.get_num_threads())
        print(fastdrop.set_num_threads(2**31 - 1), fastdrop.get_num_threads())
    """
    assert run(code, OMP_NUM_THREADS="3", FASTDROP_NUM_THREADS=value) == f"3 3\n{limit} 2\n2 1\n1 3"


# --- show_config and python -m fastdrop -----------------------------------------------------------


def test_show_config_tells_what_runs_here(capsys):
    config = fastdrop.show_config("dict")
    assert json.loads(json.dumps(config)) == config
    assert capsys.readouterr() == ("", "")
    assert config["fastdrop"] == fastdrop.__version__ == importlib.metadata.version(config["distribution"])
    assert tuple(config["isas"]) == fastdrop.isas()
    assert set(config["isas"]) | set(config["isas built but not usable here"]) == set(NEEDS) & {
        name for name, _, _ in _core.isas()
    }
    assert config["threads"] == fastdrop.get_num_threads()
    assert all(Path(path).exists() for path in [config["location"], *config["OpenMP libraries loaded"]])
    assert bool(config["OpenMP libraries loaded"]) >= config["OpenMP"]
    assert fastdrop.show_config() is fastdrop.show_config("stdout") is None
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert errors == ""
    assert len(lines) == 2 * len(config)
    assert lines[: len(config)] == lines[len(config) :]
    for line, (name, value) in zip(lines, config.items(), strict=False):
        assert line.startswith(f"{name}: ")
        if isinstance(value, (str, int)):
            assert line.endswith(f" {value}")
        else:
            assert all(entry in line for entry in value or ["none"])


def test_info_prints_what_show_config_tells():
    config = fastdrop.show_config("dict")
    output, errors = python("-m", "fastdrop", "info")
    assert [line.split(":")[0] for line in output.splitlines()] == list(config)
    assert errors == ""
    output, errors = python("-m", "fastdrop", "info", "--json", FASTDROP_ISA="scalar")
    shown = json.loads(output)
    assert list(shown) == list(config)
    assert shown["isa"] == "scalar"
    assert shown["location"] == config["location"]
    assert errors == ""


def test_the_command_line_prints_the_version_and_its_usage():
    assert python("-m", "fastdrop", "--version") == (f"{fastdrop.__version__}\n", "")
    for arguments in ([], ["nothing"], ["info", "--xml"]):
        output, errors = python("-m", "fastdrop", *arguments, code=2)
        assert output == ""
        assert "usage: python -m fastdrop" in errors


def test_the_selftest_passes_on_every_isa():
    output, errors = python("-m", "fastdrop", "selftest")
    count = len(selftest.golden_masks())
    assert output.splitlines() == [
        f"{name}: {count} of {count} golden masks match" for name in fastdrop.isas()
    ]
    assert errors == ""


def test_the_selftest_compares_the_golden_masks_of_the_repository():
    data = Path(__file__).parents[1] / "python" / "fastdrop" / "data"
    golden = json.loads((data / "golden-masks-v1.json").read_text())
    assert selftest.golden_masks() == golden


TAMPERED = {
    "seed": "12345",
    "stream": "3",
    "start": "17",
    "n": 5,
    "p": 0.3,
    "sha256_packbits_little": "0" * 64,
}


@pytest.mark.parametrize("field", TAMPERED)
def test_the_selftest_finds_a_wrong_mask(field, monkeypatch, capsys):
    rows = selftest.golden_masks()
    wrong = next(row for row in rows if 0 < row["p"] < 1 and row[field] != TAMPERED[field])
    wrong[field] = TAMPERED[field]
    monkeypatch.setattr(selftest, "golden_masks", lambda: rows)
    before = fastdrop.isa()
    assert main(["selftest"]) == 1
    assert fastdrop.isa() == before
    output, errors = capsys.readouterr()
    right = len(rows) - 1
    assert output.splitlines() == [
        f"{name}: {right} of {len(rows)} golden masks match" for name in fastdrop.isas()
    ]
    assert errors == ""


# --- The import -----------------------------------------------------------------------------------


def test_import_leaves_the_process_as_it_was():
    """No variable, thread, signal handler, locale, warning filter or line of output; NumPy comes first."""
    code = """
        import ctypes, itertools, locale, os, signal, sys, threading, warnings
        import numpy as np
        def environment():  # of the process: os.environ does not see what C code sets
            start = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
            return list(itertools.takewhile(bool, (start[place] for place in itertools.count())))
        def state():
            return (
                environment(), dict(os.environ), os.listdir("/proc/self/task"), threading.enumerate(),
                [signal.getsignal(number) for number in signal.valid_signals()],
                locale.setlocale(locale.LC_ALL), list(warnings.filters), np.geterr(),
                os.getcwd(), os.sched_getaffinity(0), list(sys.path),
            )
        before = state()
        import fastdrop
        assert "FASTDROP_ISA=scalar" in map(os.fsdecode, environment())
        assert state() == before
    """
    assert run(code, FASTDROP_ISA="scalar") == ""


def test_a_wrong_environment_is_one_sentence_on_the_command_line():
    for command in ("info", "selftest"):
        output, errors = python("-m", "fastdrop", command, code=2, FASTDROP_ISA="mmx")
        assert output == ""
        assert re.fullmatch(r"environment variable FASTDROP_ISA is 'mmx'; the .* here are .*\n", errors)
