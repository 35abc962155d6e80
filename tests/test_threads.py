# SPDX-License-Identifier: BSD-3-Clause
"""Threads from outside: the GIL, other Python threads, fork, limits, and the floating-point environment."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fastdrop
from processes import run

LARGE = 2**20  # beyond the thread split


@pytest.mark.parametrize(
    "call", ["mask.apply(x, out=x)", "_core.run_memory('dropout', mask._state, 0, at, None, at, None, 2.0)"]
)
def test_the_gil_is_released(call):
    """A thread that only counts goes on during a long call: the first in which the system lets it run."""
    code = """
        import sys, threading, time, numpy as np, fastdrop
        from fastdrop import _core
        x = np.ones(2**25, np.float32)
        at = x.ctypes.data
        mask = fastdrop.Mask(x.size, 0.1, seed=0)
        progress, stop = 0, False
        def count():
            global progress
            while not stop:
                progress += 1
                time.sleep(0)
        sys.setswitchinterval(1000)  # the GIL changes hands only when it is given up
        counter = threading.Thread(target=count)
        counter.start()
        while progress == 0:
            time.sleep(0.001)
        before = progress
        for _ in range(100):
            CALL
            after = progress
            if after > before:
                break
        stop = True
        counter.join()
        print(after > before)
    """
    assert run(code.replace("CALL", call)) == "True"


def test_concurrent_calls_give_what_single_calls_give(threads):
    x = np.random.default_rng(0).standard_normal(LARGE).astype(np.float32)
    masks = [fastdrop.Mask(LARGE, 0.3, seed=seed) for seed in range(6)]
    single = [mask.apply(x) for mask in masks]
    results = [None] * len(masks)

    def work(number):
        for _ in range(5):
            results[number] = masks[number].apply(x)

    with threads(2):
        workers = [threading.Thread(target=work, args=(number,)) for number in range(len(masks))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for one, other in zip(single, results, strict=True):
        assert (one == other).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [lambda mask, x: mask.apply(x), lambda mask, x: fastdrop.bias_dropout_add(x, mask=mask)[0]],
    ids=["dropout", "rows"],
)
def test_switching_the_isa_under_running_calls(call):
    """A call uses one ISA from beginning to end, whichever it is."""
    x = np.ones(500_000, np.float32)
    mask = fastdrop.Mask(x.size, 0.3, seed=0)
    expected = mask.apply(x)
    before, done = fastdrop.isa(), threading.Event()

    def switch():
        while not done.is_set():
            for name in fastdrop.isas():
                fastdrop.use_isa(name)

    switcher = threading.Thread(target=switch)
    switcher.start()
    try:
        for _ in range(200):
            assert (call(mask, x) == expected).all()
    finally:
        done.set()
        switcher.join()
        fastdrop.use_isa(before)


# Python warns of fork() in a process that has threads; that it is safe here is what is tested.
FORK = """
    import os, sys, signal, warnings, numpy as np, fastdrop
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    x = np.ones(2**22, np.float32)
    mask = fastdrop.Mask(x.size, 0.1, seed=0)
    {before}
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # a child that hangs dies of this, and the parent sees it
        same = bool((mask.apply(x) == expected).all())
        print(same, fastdrop.get_num_threads(), flush=True)
        os._exit(0 if same else 1)
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


def test_a_child_that_is_forked_after_threads_have_run_has_its_own():
    """Worker threads do not survive fork(): the child hires its own instead of waiting for the parent's."""
    before = "expected = mask.apply(x); assert fastdrop.get_num_threads() == 2"
    assert run(FORK.format(before=before), OMP_NUM_THREADS="2") == "True 2"


def test_a_child_that_is_forked_before_threads_have_run_has_its_own():
    before = "expected = np.concatenate([mask[i : i + 4096].apply(x[:4096]) for i in range(0, x.size, 4096)])"
    assert run(FORK.format(before=before), OMP_NUM_THREADS="2") == "True 2"


def test_workers_of_multiprocessing_give_the_same_bits():
    code = """
        import multiprocessing, warnings, numpy as np, fastdrop
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of fork(), as above
        x = np.ones(2**20, np.float32)
        def work(seed):
            return float(fastdrop.Mask(x.size, 0.5, seed=seed).apply(x).sum())
        here = [work(seed) for seed in range(4)]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(work, range(4)) == here)
    """
    assert run(code, OMP_NUM_THREADS="2") == "True"


def test_the_process_may_exit_while_a_daemon_thread_is_in_a_call():
    """Python ends such a thread when it wants the GIL back; the process must not abort over it."""
    code = """
        import threading, time, numpy as np, fastdrop
        x = np.ones(2**20, np.float32)
        mask = fastdrop.Mask(x.size, 0.1, seed=0)
        def work():
            while True:
                mask.apply(x)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
    """
    for _ in range(3):
        assert run(code) == ""


def test_workers_leave_signals_to_others():
    """A signal that is sent to the process is handled although workers exist, and stays unblocked here."""
    code = """
        import os, signal, numpy as np, fastdrop
        x = np.ones(2**21, np.float32)
        fastdrop.Mask(x.size, 0.1, seed=0).apply(x)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
        signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
        os.kill(os.getpid(), signal.SIGUSR1)
    """
    assert run(code, OMP_NUM_THREADS="2") == "handled"


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "3", "FASTDROP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "1", "FASTDROP_NUM_THREADS": "2"}, 1),
        ({"OMP_NUM_THREADS": "3", "FASTDROP_NUM_THREADS": ""}, 3),
    ],
)
def test_the_lesser_limit_of_the_environment_counts(environment, threads):
    assert run("import fastdrop; print(fastdrop.get_num_threads())", **environment) == str(threads)


def test_threadpoolctl_limits_the_threads():
    with threadpool_limits(1, user_api="openmp"):
        assert fastdrop.get_num_threads() == 1


FLUSH_TO_ZERO = """
    import ctypes, mmap, platform, numpy as np, fastdrop
    assert platform.machine() == "x86_64"
    # ldmxcsr [rdi]; ret   and   stmxcsr [rdi]; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes([0x0F, 0xAE, 0x17, 0xC3, 0x0F, 0xAE, 0x1F, 0xC3]))
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    function = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint32))
    load, store = function(address), function(address + 4)
    def mxcsr(value=None):
        word = ctypes.c_uint32(0 if value is None else value)
        (store if value is None else load)(ctypes.byref(word))
        return word.value
"""


@pytest.mark.parametrize(
    ("dtype", "subnormal"),
    [("np.float32", 4e-39), ("ml_dtypes.bfloat16", 4e-39), ("np.float16", 3e-7)],
)
def test_subnormals_survive_whatever_the_caller_has_set(threads, dtype, subnormal):
    """Flush-to-zero or another rounding, set by the caller: same bits, and the state left alone."""
    code = (
        FLUSH_TO_ZERO
        + """
    import ml_dtypes
    x = np.full(2**20, SUBNORMAL, DTYPE)
    x[1::2] = 1.1
    mask = fastdrop.Mask(x.size, 0.1, seed=0)
    expected = mask.apply(x)
    assert 0 < expected[expected > 0].min() < 2 * SUBNORMAL
    for count in (1, 2):
        fastdrop.set_num_threads(count)
        for value in (0x1F80 | 0x8040, 0x1F80 | 0x6000, 0x1F80 | 0x8040 | 0x4000 | 0x3F):
            before = mxcsr()
            mxcsr(value)
            result = mask.apply(x)
            small = mask[:64].apply(x[:64])
            after = mxcsr()
            mxcsr(before)
            assert after == value, (hex(after), hex(value))
            assert result.tobytes() == expected.tobytes(), hex(value)
            assert small.tobytes() == expected[:64].tobytes(), hex(value)
    print("ok")
    """
    )
    code = code.replace("SUBNORMAL", str(subnormal)).replace("DTYPE", dtype)
    assert run(code, OMP_NUM_THREADS="2") == "ok"


def test_subnormal_probabilities_count_whatever_the_caller_has_set():
    """A keep_prob that is flushed to zero would be a p of 0 instead of 1."""
    code = (
        FLUSH_TO_ZERO
        + """
    tiny = [5e-324, 2.0**-1050, 2.0**-1022, 0.0, 2.0**-66, 0.5, 1.0]
    masks = [fastdrop.Mask((40, 7), **{name: rates}, seed=0)
             for name in ("p", "keep_prob") for rates in (*tiny, np.array(tiny), np.resize(tiny, (40, 1)))]
    masks += [mask[1:, ::-1] for mask in masks]
    masks += [fastdrop.Mask((40, 7), **{name: np.resize(tiny, (40, 1))}, noise_shape=(40, 1), seed=0)
              for name in ("p", "keep_prob")]
    turned = np.ones((70, 90), np.float32).T
    two = [fastdrop.Mask((90, 70), **{name: 2.0**-1050}, seed=0) for name in ("p", "keep_prob")]
    def results():
        yield from (mask.to_numpy().tobytes() for mask in masks)
        yield from (mask.apply(turned, out=np.full((70, 90), 7, np.float32).T).tobytes() for mask in two)
    expected = list(results())
    assert masks[7].to_numpy()[:, :5].all() and not masks[16].to_numpy()[:, :5].any()
    before = mxcsr()
    for value in (0x1F80 | 0x8040, 0x1F80 | 0x6000):
        mxcsr(value)
        got = list(results())
        mxcsr(before)
        assert got == expected, hex(value)
    print("ok")
    """
    )
    assert run(code) == "ok"
