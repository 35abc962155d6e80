# SPDX-License-Identifier: BSD-3-Clause
"""The core's own threads as the system sees them: who works after fork(), and which signals they take."""

import signal

from processes import run

# The threads that a large call starts are those that were not there before it. `ran` is the time that a
# thread has spent on a processor (proc(5), schedstat), in nanoseconds.
THREADS = """
    import os, pathlib, signal, sys, time, warnings, numpy as np, fastdrop
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of fork() beside threads
    tasks = pathlib.Path("/proc/self/task")
    def threads():
        return {int(task.name) for task in tasks.iterdir()}
    def ran(thread):
        return int((tasks / str(thread) / "schedstat").read_text().split()[0])
    x = np.ones(2**22, np.float32)
    mask = fastdrop.Mask(x.size, 0.1, seed=0)
    def new_workers():
        before = threads()
        mask.apply(x, out=x)
        return threads() - before
    def check_that_they_work(workers):
        assert len(workers) == 2, workers
        # One that has only been started, and found nothing to do, does not get as far.
        while not all(ran(worker) > 5_000_000 for worker in workers):
            mask.apply(x, out=x)
"""


def test_a_child_has_workers_of_its_own_that_work():
    """Those of the parent are not copied by fork(). A child that counted on them would do all alone."""
    code = (
        THREADS
        + """
    check_that_they_work(new_workers())
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            signal.alarm(50)  # a child that hangs, or whose workers never come, dies of this
            try:
                check_that_they_work(new_workers())
            except BaseException as error:
                print(repr(error), flush=True)
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    print("ok")
    """
    )
    assert run(code, OMP_NUM_THREADS="3", OPENBLAS_NUM_THREADS="1") == "ok"


FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}


def test_workers_block_every_signal_but_those_of_a_fault():
    """Python's handlers, and a program's, run on threads that it knows. A crash must be reported, though."""
    code = (
        THREADS
        + """
    for worker in new_workers():
        for _ in range(500):  # before its first instruction, the C library blocks all
            status = (tasks / str(worker) / "status").read_text().splitlines()
            blocked = next(line.split()[1] for line in status if line.startswith("SigBlk:"))
            if not int(blocked, 16) >> (signal.SIGSEGV - 1) & 1:
                break
            time.sleep(0.01)
        print(blocked)
    """
    )
    masks = run(code, OMP_NUM_THREADS="3", OPENBLAS_NUM_THREADS="1").split()
    assert len(masks) == 2
    blockable = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
    for mask in masks:
        blocked = {number for number in blockable if int(mask, 16) >> (number - 1) & 1}
        assert blocked == blockable - FAULTS
