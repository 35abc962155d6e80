# SPDX-License-Identifier: BSD-3-Clause
"""``python bench/compare_builds.py OLD NEW``: whether one build of fastdrop is slower than another.

OLD and NEW are the Python executables of two environments, each with one of the builds. Any Python on Linux
runs the script: the part that compares imports nothing but the standard library.

A case is an operation, a dtype, a number of elements and an instruction set, on one thread. For every case it
prints the time of one call in both builds and the median of the ratios new / old, with their quartiles as the
band. "slower" or "faster" stands where the band excludes 1 and the median of every pair of processes lies on
the same side of 1. "OTHER BITS" stands where the results of the first call differ; then the exit status is 1.

    dropout           dropout(x, p, rng=masks, out=y)      apply      mask.apply(x, out=y)
    alpha_dropout     the same, of alpha dropout           backward   dropout_backward(dy, mask, out=dx)
    gaussian_dropout  the same, of Gaussian dropout        keep_mask  mask.to_numpy(), a new array every call

Each build has a worker process. Both run on the same processor and take turns, in swapped order every other
round: a change of clock or load meets both. A turn warms up and is then the best of a few spans of half a
millisecond: an interruption only ever makes a span slower.

Addresses are chance and make some percent. Virtual ones: each pair of workers does a share of the rounds,
then a new pair takes over. Physical ones, which decide what the second-level cache holds: the workers share
the memory of small arrays. Large arrays are in huge pages, as NumPy's are; who gets them first is swapped
with every pair. To see what is left, and so what a machine can resolve, compare a build with itself.

    python bench/compare_builds.py old/bin/python new/bin/python --isa avx512,avx2 --sizes 64,65536

With --op structured the cases are those of `python -m fastdrop bench --op structured`: calls with shared
decisions, arrays of p and others that may be slower than NumPy. In every round the new environment also times
a copy of the same arrays, and NumPy's best lines for the same job; the last columns are ratios to the copy.
--sizes picks among them. Both environments need the functions of these calls, and nothing of the benchmark.
"""

import argparse
import functools
import importlib.util
import itertools
import json
import math
import mmap
import os
import statistics
import subprocess
import sys
import timeit
import zlib

STRUCTURED = "structured"
OPERATIONS = ("dropout", "apply", "backward", "alpha_dropout", "gaussian_dropout", "keep_mask")
ITEM_BYTES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}
SIZES = (64, 2**16, 2**20, 2**24)
SPAN_NS = 500_000  # 50 ns of clock are 0.01 % of it
SPANS = 5  # and 2 of calls that take longer than one
HUGE_FROM = 2**22  # bytes of an array for which NumPy asks for huge pages
# From x to y, beside whole pages: at equal places in a page, loads would wait for stores (4 KiB aliasing).
GAP = 2**11 + 2**6
ROW = "{:<17}{:<9}{:>11}  {:<10}{:>11}{:>11}{:>9}  {}"
CALL_ROW = "{:<56}{:>11}{:>11}{:>9}  {:<22}{:>9}{:>9}{:>9}"
CALLS = os.path.join(os.path.dirname(__file__), "../python/fastdrop/bench/structured.py")


def main(options):
    """Compare, print, and return the exit status."""
    cases = list(itertools.product(options.dtype, options.sizes, options.op, options.isa or ["best"]))
    # A mask is the same array of bool for every dtype.
    cases = [case for case in cases if case[2] != "keep_mask" or case[0] == options.dtype[0]]
    calls = []
    if options.op == [STRUCTURED]:
        command = [options.new, __file__, "--calls"]
        calls = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        cases = calls = [tuple(call) for call in calls if options.sizes is SIZES or call[1] in options.sizes]
    times = {case: ([], [], [], []) for case in cases}  # of old, new, copy and NumPy, in the order of rounds
    other_bits = set()
    array_bytes = max(size * ITEM_BYTES[dtype] for dtype, size, *_ in cases)
    job = {"p": options.p, "processor": options.processor, "y_at": -(-array_bytes // 2**21) * 2**21 + GAP}
    job["memory"] = os.memfd_create("x and y")
    os.truncate(job["memory"], job["y_at"] + array_bytes)
    for pair in range(options.pairs):
        workers = [Worker(executable, job) for executable in (options.old, options.new)]
        if pair == 0:
            print(f"old: {workers[0].about}\nnew: {workers[1].about}", flush=True)
        order = (0, 1) if pair % 2 == 0 else (1, 0)
        for case in cases:
            first_calls = [workers[build].ask(prepare=case) for build in order]
            if first_calls[0]["bits"] != first_calls[1]["bits"]:
                other_bits.add(case)
            count = math.ceil(SPAN_NS / min(call["nanoseconds"] for call in first_calls))
            for turn in range(options.rounds):
                for build in order if turn % 2 == 0 else reversed(order):
                    times[case][build].append(workers[build].ask(count=count)["nanoseconds"])
                for place, who in ((2, "copy"), (3, "numpy")) if calls else ():
                    times[case][place].append(workers[1].ask(who=who)["nanoseconds"])
        for worker in workers:
            worker.process.communicate()  # ends it
    if calls:
        heads = "old us", "new us", "new/old", "band", "old", "new", "NumPy"
        print(CALL_ROW.format("call, shape; at the end ratios to a copy", *heads))
    else:
        print(ROW.format("operation", "dtype", "elements", "isa", "old us", "new us", "new/old", "band"))
    for case in cases:
        row(case, *times[case], options.rounds, case in other_bits)
    return 1 if other_bits else 0


def row(case, old, new, copy, numpy, rounds, other_bits):
    """Print the row of a case; `rounds` are those of one pair of processes."""
    dtype, size, operation, isa = case
    ratios = [time / base for time, base in zip(new, old, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    of_pairs = [statistics.median(ratios[at : at + rounds]) for at in range(0, len(ratios), rounds)]
    slower, faster = low > 1 and min(of_pairs) > 1, high < 1 and max(of_pairs) < 1
    words = [f"{low:.3f}-{high:.3f}", "slower" * slower, "faster" * faster, "OTHER BITS" * other_bits]
    figures = [f"{statistics.median(times) / 1000:.3f}" for times in (old, new)] + [f"{middle:.3f}"]
    figures.append(" ".join(filter(None, words)))
    if copy:
        copies = [statistics.median(times) / statistics.median(copy) for times in (old, new, numpy)]
        print(CALL_ROW.format(operation, *figures, *(f"{ratio:.2f}" for ratio in copies)))
        return
    dtype = "bool" if operation == "keep_mask" else dtype
    print(ROW.format(operation, dtype, f"{size:,}", isa, *figures).rstrip())


def parse(arguments):
    """The options."""

    def some(known):
        def parts(text):
            if unknown := [part for part in text.split(",") if part not in known]:
                raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(known)}")
            return text.split(",")

        return parts

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(": ")[1])
    add = parser.add_argument
    add("old", help="Python executable of the environment with the old build")
    add("new", help="Python executable of the environment with the new build")
    operations = f"{', '.join(OPERATIONS)}; or {STRUCTURED} alone"
    add("--op", type=some((*OPERATIONS, STRUCTURED)), default=OPERATIONS, help=operations)
    add("--dtype", type=some(ITEM_BYTES), default=[*ITEM_BYTES], help=", ".join(ITEM_BYTES))
    add("--sizes", type=lambda text: list(map(int, text.split(","))), default=SIZES, help="in elements")
    add("--isa", type=lambda text: text.split(","), help="the best one unless given")
    add("--p", type=float, default=0.1, help="probability of dropping")
    add("--rounds", type=int, default=6, help="ratios of a case from each pair")
    add("--pairs", type=int, default=8, help="pairs of worker processes, one after the other")
    add("--processor", type=int, default=max(os.sched_getaffinity(0)), help="to run on")
    options = parser.parse_args(arguments)
    if STRUCTURED in options.op and len(options.op) > 1:
        parser.error(f"argument --op: {STRUCTURED} stands alone")
    return options


class Worker:
    """The process of one build, seen from outside."""

    def __init__(self, executable, job):
        command = [executable, __file__, "--work", json.dumps(job)]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}  # dictionaries are laid out alike
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, pass_fds=[job["memory"]], **pipes)
        self.about = self.answer()["about"]

    def ask(self, **question):
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self):
        if line := self.process.stdout.readline():
            return json.loads(line)
        raise SystemExit(f"the worker of {self.process.args[0]} ended; what it said stands above")


def work(job):
    """The process of one build, seen from inside: it answers questions, a line of JSON each."""

    def say(**answer):
        print(json.dumps(answer), flush=True)

    import ml_dtypes  # noqa: F401 -- tells NumPy of bfloat16
    import numpy as np

    import fastdrop

    os.sched_setaffinity(0, {job["processor"]})
    fastdrop.set_num_threads(1)
    best = fastdrop.isas()[0]
    shared = mmap.mmap(job["memory"], 0)
    own = mmap.mmap(-1, len(shared), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    own.madvise(mmap.MADV_HUGEPAGE)
    say(about=f"fastdrop {fastdrop.__version__} in {os.path.dirname(fastdrop.__file__)}, best ISA {best}")
    for question in map(json.loads, sys.stdin):
        if "prepare" in question:
            dtype, size, operation, isa = question["prepare"]
            fastdrop.use_isa(best if isa == "best" else isa)
            memory = own if size * ITEM_BYTES[dtype] >= HUGE_FROM else shared
            x, y = (np.frombuffer(memory, dtype, size, offset) for offset in (0, job["y_at"]))
            x[:] = np.random.default_rng(0).random(size, np.float32) + 1
            call = None if operation in OPERATIONS else structured_calls()[operation]
            run, result = prepare(fastdrop, operation, x, y, job["p"]) if call is None else first(call, x, y)
            say(bits=zlib.crc32(result.view("uint8")), nanoseconds=min(span(run, 1) for _ in range(3)))
        elif "who" in question:
            other = {"copy": call.copy, "numpy": call.numpys}[question["who"]](x, y)
            other()
            count = math.ceil(SPAN_NS / min(span(other, 1) for _ in range(3)))
            say(nanoseconds=min(span(other, count) for _ in range(SPANS if count > 1 else 2)))
        else:
            span(run, -(-question["count"] // 4))  # the other build has used the caches
            spans = SPANS if question["count"] > 1 else 2
            say(nanoseconds=min(span(run, question["count"]) for _ in range(spans)))


@functools.cache
def structured_calls():
    """The structured calls by name: their file alone, beside whichever build is installed."""
    spec = importlib.util.spec_from_file_location("structured", CALLS)
    module = sys.modules["structured"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CALLS


def first(call, x, y):
    """A structured call to time, and the result of the first one; nothing of it if it is random."""
    run = call.ours(x, y)
    run()
    return run, y[:0] if call.rng == "None" else y


def prepare(fastdrop, operation, x, y, p):
    """The call to time, and the result of the first one."""
    mask, masks = fastdrop.Mask(x.size, p, seed=0), fastdrop.MaskGenerator(0)
    if operation == "keep_mask":
        return mask.to_numpy, mask.to_numpy()
    with_mask = {"apply": (mask.apply, x), "backward": (fastdrop.dropout_backward, x, mask)}
    if operation in with_mask:
        run = functools.partial(*with_mask[operation], out=y)
    else:
        run = functools.partial(getattr(fastdrop, operation), x, p, rng=masks, out=y)
    run()
    return run, y


def span(run, count):
    """Nanoseconds of one call; the garbage collector is off."""
    return timeit.timeit(run, number=count) / count * 1e9


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(json.loads(sys.argv[2]))
    elif sys.argv[1] == "--calls":
        print(json.dumps([(one.dtype, one.size, name, "best") for name, one in structured_calls().items()]))
    else:
        sys.exit(main(parse(sys.argv[1:])))
