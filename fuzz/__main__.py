# SPDX-License-Identifier: BSD-3-Clause
"""Builds the fuzzer, runs it, and keeps what reached new code.

From the repository's root: ``python -m fuzz --executions 10000000 --jobs 2``.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus.tar.xz"
PROGRAMS = ["fuzz_small_pieces", "fuzz_core"]  # jobs take them in turn
MOST_BYTES = 256  # of an input: more than any request reads, apart from unlucky mutations


def main() -> int:
    arguments = parsed_arguments()
    build(arguments.build, arguments.isas)
    with tempfile.TemporaryDirectory() as folder:
        corpora = [Path(folder, f"corpus-{job}") for job in range(arguments.jobs)]
        for corpus in corpora:
            unpack(corpus)
        jobs = [start(arguments, job, corpus) for job, corpus in enumerate(corpora)]
        findings = sum(process.wait() != 0 for process in jobs)
        executions = sum(executed(log_of(arguments.build, job)) for job in range(arguments.jobs))
        features = keep(arguments, corpora, Path(folder, "merged"))
    print(f"fuzz: {executions:,} executions, {findings} findings, {features:,} features")
    return 1 if findings else 0


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument(
        "--executions", type=int, default=10_000_000, help="inputs in all, the corpus included"
    )
    parser.add_argument("--seconds", type=int, default=0, help="stop after so long; 0 for not")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations; 0 for another one each time")
    parser.add_argument(
        "--build", type=Path, default=HERE.parent / "build" / "fuzz", help="folder to build in"
    )
    parser.add_argument(
        "--isas", default="", help="instruction sets to build, such as 'scalar;avx2'; all if left out"
    )
    parser.add_argument("--keep", action="store_true", help=f"write the merged corpus to fuzz/{CORPUS.name}")
    return parser.parse_args()


def build(folder: Path, isas: str) -> None:
    configure = ["cmake", "-S", str(HERE), "-B", str(folder), "-DCMAKE_CXX_COMPILER=clang++-19"]
    if shutil.which("ninja"):
        configure += ["-G", "Ninja"]
    if isas:
        configure += [f"-DFASTDROP_ISAS={isas}"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(folder), "--parallel", str(os.cpu_count())], check=True)


def unpack(corpus: Path) -> None:
    corpus.mkdir()
    if CORPUS.exists():
        with tarfile.open(CORPUS) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None, "the archive has plain files only"
                (corpus / Path(member.name).name).write_bytes(file.read())


def log_of(build: Path, job: int) -> Path:
    return build / f"fuzz-{job}.log"


def start(arguments: argparse.Namespace, job: int, corpus: Path) -> "subprocess.Popen[bytes]":
    program = arguments.build / PROGRAMS[job % len(PROGRAMS)]
    runs = -(-arguments.executions // arguments.jobs)
    options = [f"-runs={runs}", f"-max_total_time={arguments.seconds}", f"-max_len={MOST_BYTES}"]
    options += [
        "-len_control=0",
        f"-seed={arguments.seed + job if arguments.seed else 0}",
        "-print_final_stats=1",
        "-timeout=60",
        "-entropic=0",  # its counts of rare features take a tenth of the time
    ]
    options += [f"-artifact_prefix={arguments.build}/finding-{job}-"]
    # Where memory came from is not kept, and freed memory not for as long: a fifth of the time. A finding
    # that is run again by hand has both.
    environment = {**os.environ, "ASAN_OPTIONS": "malloc_context_size=0:quarantine_size_mb=16"}
    with log_of(arguments.build, job).open("wb") as log:
        return subprocess.Popen(
            [str(program), *options, str(corpus)], stdout=log, stderr=log, env=environment
        )


def executed(log: Path) -> int:
    """Prints what was found, and returns how many inputs were run."""
    text = log.read_text(errors="replace")
    finding = re.search(r"^(FINDING|.*runtime error|==\d+== ?ERROR).*", text, re.MULTILINE)
    if finding:
        print(text[finding.start() :][:4000])
        print(*re.findall(r"Test unit written to .*", text), sep="\n")
    count = re.search(r"^stat::number_of_executed_units: (\d+)", text, re.MULTILINE)
    return int(count[1]) if count else 0


def keep(arguments: argparse.Namespace, corpora: list[Path], merged: Path) -> int:
    """Returns how many features a small set of inputs has, and writes that set where it is wanted."""
    merged.mkdir()
    program = arguments.build / PROGRAMS[0]
    merging = subprocess.run(
        [str(program), "-set_cover_merge=1", f"-max_len={MOST_BYTES}", str(merged), *map(str, corpora)],
        capture_output=True,
        text=True,
        errors="replace",
    )
    features = re.search(r"(\d+) new features added", merging.stderr)
    if arguments.keep and merging.returncode == 0:
        write_corpus(merged)
    return int(features[1]) if features else 0


def write_corpus(folder: Path) -> None:
    """The same inputs make the same archive."""
    with tarfile.open(CORPUS, "w:xz") as archive:
        for path in sorted(folder.iterdir()):
            member = tarfile.TarInfo(path.name)
            member.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(member, file)


if __name__ == "__main__":
    sys.exit(main())
