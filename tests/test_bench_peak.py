# SPDX-License-Identifier: BSD-3-Clause
"""The peak of memory that the benchmark shows, judged by arrays of known sizes."""

import contextlib
import threading
from pathlib import Path

import numpy as np
import pytest

from fastdrop.bench import peak, runner
from fastdrop.bench.job import Job

# Linux counts pages for each processor and joins the counts in batches: what it tells is off a little.
SIZE, SLACK = 2**28, 2**24

needs_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system tells no peak"
)


def written(size):
    """A new array, every page of it written."""
    return np.ones(size, np.uint8)


def peak_of(run, **bytes_):
    return runner.peak_of(Job(run, answer=run, **bytes_))


@needs_linux
@pytest.mark.parametrize("size", [0, SIZE])
def test_an_array_that_is_made_and_freed(size):
    assert peak_of(lambda: written(size).sum()) == pytest.approx(size, abs=SLACK)


@needs_linux
def test_only_what_is_there_at_the_same_time_counts():
    def one_after_the_other():
        for _ in range(3):
            written(SIZE // 2)

    def both():
        return [written(SIZE // 2), written(SIZE // 2)]

    assert peak_of(one_after_the_other) == pytest.approx(SIZE // 2, abs=SLACK)
    assert peak_of(both) == pytest.approx(SIZE, abs=SLACK)


@needs_linux
def test_memory_that_was_freed_before_is_no_free_gift():
    """malloc keeps small blocks that are freed. A call that takes them again needs as much as ever."""
    blocks = [written(2**16) for _ in range(SIZE // 2**16)]
    above = written(2**16)  # the free end of its memory malloc gives back by itself
    del blocks
    assert peak_of(lambda: [written(2**16) for _ in range(SIZE // 2**16)]) == pytest.approx(SIZE, abs=SLACK)
    assert above.all()


@needs_linux
def test_what_stays_for_each_thread_counts():
    kept = threading.local()

    def run():
        if not hasattr(kept, "array"):
            kept.array = written(SIZE)

    run()  # as a job has been run before
    assert peak_of(run) == pytest.approx(SIZE, abs=SLACK)


@needs_linux
def test_what_a_job_keeps_counts_and_results_do_not():
    assert peak_of(lambda: written(SIZE), result_bytes=SIZE) == pytest.approx(0, abs=SLACK)
    assert peak_of(lambda: None, kept_bytes=SIZE) == pytest.approx(SIZE, abs=SLACK)


@needs_linux
def test_it_is_measured_in_the_setting_of_the_job():
    depth, seen = 0, []

    @contextlib.contextmanager
    def setting():
        nonlocal depth
        depth += 1
        yield
        depth -= 1

    peak.peak_bytes(lambda: seen.append(depth), setting)
    assert set(seen) == {1}
    assert depth == 0


def test_none_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(peak, "_CLEAR", tmp_path / "nowhere" / "clear_refs")
    assert peak.peak_bytes(lambda: None, contextlib.nullcontext) is None
    assert peak_of(lambda: None, kept_bytes=1) is None
