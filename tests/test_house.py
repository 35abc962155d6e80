# SPDX-License-Identifier: BSD-3-Clause
"""The structure itself: arrows between folders, symbols of the per-ISA objects, and what the binary does."""

import os
import re
import subprocess
from pathlib import Path

import cmake
import ninja
import pytest

import fastdrop
from fastdrop import _core

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "fastdrop"

# Who may include whom (csrc/README.md).
ARROWS = {
    "shared": {"shared"},
    "kernels": {"kernels", "shared"},
    "dispatch": {"dispatch", "shared"},
    "runtime": {"runtime", "dispatch", "shared"},
    "xla": {"xla", "runtime", "shared"},
    "bindings": {"bindings", "xla", "runtime", "dispatch", "shared"},
}
# Inside the folders with most files: each file, with its header, and what it may include of its folder.
# A file stands below those that it includes, so that no arrow runs back up.
INNER_ARROWS = {
    "kernels": {
        "math": set(),
        "bits": set(),
        "elements": set(),
        "operands": set(),
        "generators": set(),
        "keep": {"generators"},
        "keep_bits": {"keep"},
        "normals": {"generators", "keep", "math"},
        "function_constants": set(),
        "functions": {"function_constants"},
        "logarithm": {"math"},
        "piecewise_tables": set(),
        "piecewise": {"functions", "piecewise_tables"},
        "activations": {"functions", "piecewise"},
        "loops": {"keep", "operands"},
        "table": {"bits", "elements", "generators", "keep", "keep_bits", "loops", "normals"},
    },
    "kernels/rows": {
        "elements": set(),
        "several": set(),
        "strip_bits": set(),
        "strips": {"elements", "several", "strip_bits"},
        "rows_together": set(),
        "bias_dropout_add": {"strips"},
        "dropout_add_norm": {"rows_together", "strips"},
        "softmax": {"rows_together", "strips"},
        "softmax_dropout": {"softmax"},
        "cross_entropy": {"softmax"},
        "evaluate": set(),
        "table": {"bias_dropout_add", "cross_entropy", "dropout_add_norm", "evaluate", "softmax_dropout"},
    },
    "runtime": {
        "request": set(),
        "tuning": set(),
        "floating_point": set(),
        "threshold": {"request"},
        "strided_copy": {"tuning"},
        "thread_limit": set(),
        "operands": {"request"},
        "rows": {"request"},
        "interrupt": {"tuning"},
        "scratch": {"rows", "tuning"},
        "varying": {"operands", "request"},
        "varying_table": {"operands", "request", "rows", "threshold", "tuning"},
        "gather": {"rows", "scratch", "tuning"},
        "store_policy": {"request", "operands", "tuning"},
        "kernel_calls": {"operands", "scratch", "store_policy", "tuning", "varying_table"},
        "thread_pool": {"floating_point", "interrupt", "thread_limit", "tuning"},
        "run": {"floating_point", "request", "gather", "kernel_calls", "scratch", "threshold", "varying"}
        | {"varying_table", "thread_pool", "tuning"},
        "block_mask": {"interrupt", "request", "run"},
        "keep_bits": {"interrupt", "request", "rows", "run", "scratch", "threshold", "tuning"},
        "column_sums": {"operands", "tuning"},
        "neutral_values": {"operands"},
        "row_places": {"operands"},
        "check_rows": {"operands", "request"},
        "run_rows": {
            "check_rows",
            "column_sums",
            "floating_point",
            "interrupt",
            "keep_bits",
            "neutral_values",
        }
        | {"operands", "request", "row_places", "store_policy", "thread_pool", "tuning", "varying"},
        "run_transposed": {"operands", "request", "strided_copy", "thread_pool"} | {"threshold", "tuning"},
        "run_strided": {"request", "operands", "run", "run_transposed", "strided_copy", "thread_pool"}
        | {"tuning"},
    },
    "bindings": {
        "python_types": set(),
        "fastcall": set(),
        "gil": set(),
        "mask_state": {"python_types"},
        "mask_source": {"python_types", "mask_state"},
        "arrays": {"mask_state"},
        "functions": {"arrays", "gil"},
        "seed": set(),
        "config": {"python_types", "seed"},
        "parsed_request": {"mask_state"},
        "operations": {"arrays", "fastcall", "gil", "mask_source", "mask_state", "parsed_request"}
        | {"python_types"},
        "memory": {"fastcall", "gil", "mask_state", "operations", "parsed_request", "python_types"},
        "values": {"python_types"},
        "module": {"config", "functions", "mask_source", "mask_state", "memory", "operations"} | {"values"},
    },
}
SOURCES = sorted(path for path in CSRC.rglob("*") if path.suffix in {".h", ".cpp"})


def room(path):
    return path.relative_to(CSRC).parts[0]


def test_every_folder_of_csrc_has_its_arrows():
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == set(ARROWS)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(CSRC)))
def test_cpp_files_include_along_the_arrows_only(source):
    text = source.read_text()
    for name in re.findall(r'#include "(.*)"', text):
        included = (source.parent / name).resolve()
        assert included.exists(), name
        assert room(included) in ARROWS[room(source)], name
    standard = set(re.findall(r"#include <(.*)>", text))
    if room(source) in {"kernels", "shared"}:
        assert standard <= {"stdint.h", "immintrin.h"}, "no standard library where flags differ"
    if source.name != "thread_limit.cpp":
        assert "omp.h" not in standard
    if source.name != "thread_pool.cpp":
        assert not standard & {"mutex", "condition_variable", "pthread.h"}
        assert "thread" not in standard or source.name == "interrupt.h"  # for a thread's id
    assert "#pragma omp" not in text


@pytest.mark.parametrize("folder", INNER_ARROWS)
def test_no_arrow_inside_a_folder_runs_back_up(folder):
    files = [path for path in SOURCES if path.parent == CSRC / folder]
    arrows = INNER_ARROWS[folder]
    assert {path.stem for path in files} == set(arrows)
    for below in range(len(arrows)):  # the order of the table is from below to above
        assert list(arrows.values())[below] <= set(list(arrows)[:below])
    for path in files:
        included = {Path(name).stem for name in re.findall(r'#include "([^/"]*)"', path.read_text())}
        assert included - {path.stem} <= arrows[path.stem], path


def test_the_map_has_every_name_of_the_vector_contract():
    """The names that the headers of all ISAs define, each with the one for rows."""
    start = r"^(?:inline|constexpr|struct|class)(?: [\w<>]+)*? "
    definition = re.compile(start + r"(\w+)(?=(?:\(| =| {))", re.MULTILINE)
    names = []
    for isa in ("scalar", "avx2", "avx512"):
        texts = [(CSRC / "kernels" / "vec" / f"{isa}{part}.h").read_text() for part in ("", "_rows")]
        names.append({name for text in texts for name in definition.findall(text)})
    common = set.intersection(*names)
    contract = (CSRC / "README.md").read_text().partition("## The vector contract")[2]
    explained = set(re.findall(r"\w+", " ".join(re.findall(r"`(.*?)`", contract))))
    assert {"kTileBlocks", "TileKeep", "aes_round", "folded", "Halves"} <= common
    assert common <= explained


@pytest.fixture(scope="session")
def unoptimised_objects(tmp_path_factory):
    """The kernel objects at -O0, where inline functions that -O2 hides become symbols."""
    build = tmp_path_factory.mktemp("build")
    targets = [f"kernels_{name}" for name, _, _ in _core.isas()]
    # The tools that the test extra brings, wherever the environment's scripts are.
    tool = str(Path(cmake.CMAKE_BIN_DIR) / "cmake")
    configure = [tool, "-S", str(CSRC), "-B", str(build), "-DCMAKE_BUILD_TYPE=Debug"]
    configure += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}"]
    configure += ["-DCMAKE_CXX_FLAGS=-O0"]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run([tool, "--build", str(build), "--target", *targets], check=True, capture_output=True)
    objects = sorted(build.rglob("kernels_*/**/*.o"))
    built = {target for target in targets for path in objects if f"/{target}.dir/" in str(path)}
    assert built == set(targets)
    return objects


def symbols(path, *options):
    result = subprocess.run(["nm", *options, str(path)], check=True, capture_output=True, text=True)
    return [line.split()[-2:] for line in result.stdout.splitlines()]


@pytest.mark.slow
def test_no_weak_symbols_in_isa_objects(unoptimised_objects):
    """A weak symbol is one that the linker may take from another ISA's object."""
    for path in unoptimised_objects:
        kinds = {kind for kind, _ in symbols(path)}
        assert not kinds & set("VvWwu"), path
        exported = [name for kind, name in symbols(path) if kind.isupper() and kind != "U"]
        assert len(exported) == 1, exported
        assert ("row_table" if path.parent.name == "rows" else "kernel_table") in exported[0]


@pytest.mark.slow
def test_isa_objects_need_nothing_but_memory_functions(unoptimised_objects):
    for path in unoptimised_objects:
        needed = {name for kind, name in symbols(path) if kind == "U"}
        assert needed <= {"memcpy", "memset", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}, path


def test_the_binary_changes_nothing_when_it_is_loaded():
    """No start-up code that sets flush-to-zero, and of OpenMP its limits only: no parallel region."""
    names = {name.split("@")[0] for _, name in symbols(_core.__file__, "-D", "--undefined-only")}
    assert not {name for name in names if name.startswith("GOMP_")}
    wanted = {"omp_get_max_threads", "omp_in_parallel"}
    assert {name for name in names if name.startswith("omp_")} <= wanted
    everything = {name for _, name in symbols(_core.__file__, "-D")}
    assert not any("fast_math" in name for name in everything)


def test_the_binary_needs_no_newer_cpp_library_than_gcc_11_has():
    """The oldest compiler supported (README). An environment may bring an older library."""
    limits = {"GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}  # of libstdc++.so.6.0.29, by GCC's manual
    needed = [name.partition("@")[2] for _, name in symbols(_core.__file__, "-D", "--undefined-only")]
    versions = [version.split("_") for version in needed if version.startswith(("GLIBCXX_", "CXXABI_"))]
    too_new = [v for library, v in versions if tuple(map(int, v.split("."))) > limits[library]]
    assert versions
    assert not too_new


def test_the_versions_of_package_and_changelog_agree():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert fastdrop.__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_is_longer_than_400_lines():
    """One job a file: nobody has to read more to understand one."""
    folders = [ROOT / name for name in ("bench", "examples", "numerics", "tests", "verification")]
    folders.append(PACKAGE)
    files = [*SOURCES, *(path for folder in folders for path in folder.rglob("*.py"))]
    long = {str(path): count for path in files if (count := len(path.read_text().splitlines())) > 400}
    assert not long


def configured(source, build, *options, **environment):
    """The exit code of cmake and what it complains of, on one line; what pip shows at its end."""
    tool = str(Path(cmake.CMAKE_BIN_DIR) / "cmake")
    configure = [tool, "-S", str(source), "-B", str(build), "-G", "Ninja", *options]
    configure += [f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}"]
    environment = {**os.environ, **environment}
    done = subprocess.run(configure, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, " ".join(done.stderr.split())


def test_a_missing_compiler_is_one_sentence(tmp_path):
    code, errors = configured(ROOT, tmp_path, CXX=str(tmp_path / "no-such-compiler"))
    assert code != 0
    assert "no C++ compiler was found: install one" in errors


def test_a_missing_openmp_is_one_sentence_with_the_way_to_build_without_it(tmp_path):
    hidden = "-DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON"
    code, errors = configured(CSRC, tmp_path, hidden)
    assert code != 0
    assert "found no OpenMP: install it" in errors
    assert "-DFASTDROP_OPENMP=OFF" in errors
    assert "pip install . -Ccmake.define.FASTDROP_OPENMP=OFF" in errors
    assert configured(CSRC, tmp_path, hidden, "-DFASTDROP_OPENMP=OFF") == (0, "")


def test_an_unknown_instruction_set_is_one_sentence_with_those_that_there_are(tmp_path):
    code, errors = configured(CSRC, tmp_path, "-DFASTDROP_ISAS=scalar;mmx")
    assert code != 0
    assert "FASTDROP_ISAS has 'mmx'" in errors
    assert "'scalar" in errors
