# SPDX-License-Identifier: BSD-3-Clause
"""The keys come from torch's generator: seeds, states, forks of it, threads, processes."""

import os
import sys
import threading

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import fastdrop.torch as ft
from torch_judge import seeded

X = torch.ones(64)


def test_manual_seed_and_states():
    first = seeded(ft.dropout, X)
    state = torch.get_rng_state()
    second = ft.dropout(X)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(ft.dropout(X), second)
    assert torch.equal(seeded(ft.dropout, X), first)
    assert not torch.equal(seeded(ft.dropout, X, seed=4), first)


def test_fork_rng():
    expected = seeded(lambda: (ft.dropout(X), ft.dropout(X)))

    def forked():
        first = ft.dropout(X)
        with torch.random.fork_rng():
            torch.manual_seed(99)
            ft.dropout(X)
        return first, ft.dropout(X)

    assert all(map(torch.equal, seeded(forked), expected))


def test_a_call_advances_the_generator_as_a_key_does_whatever_the_size():
    after = seeded(lambda: (torch.empty(2, dtype=torch.int64).random_(), torch.rand(2))[1])
    for x in (X, torch.ones(0), torch.ones(1000, 1000), X.view(8, 8).t()):
        assert torch.equal(seeded(lambda x=x: (ft.dropout(x), torch.rand(2))[1]), after)


@pytest.fixture
def _threads_alternate():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_threads_alternate")
def test_threads_draw_every_key_once_and_never_each_others():
    """Whatever the order, the masks are those of the keys that the generator gives one after another."""
    calls, threads = 1000, 4
    wanted = seeded(lambda: {tuple(ft.dropout(X).tolist()) for _ in range(calls * threads)})
    found, start = [], threading.Barrier(threads)

    def draw():
        start.wait()
        found.extend([ft.dropout(X) for _ in range(calls)])

    torch.manual_seed(3)
    workers = [threading.Thread(target=draw) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {tuple(y.tolist()) for y in found} == wanted
    assert len(found) == len(wanted) == calls * threads


def test_threads_have_their_own_backward_passes():
    failed = []

    def train():
        for _ in range(100):
            x = X.clone().requires_grad_()
            y = ft.dropout(x)
            y.sum().backward()
            if not torch.equal(x.grad, y):
                failed.append(x)

    workers = [threading.Thread(target=train) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failed == []


class Dropped(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return ft.dropout(X)


# Python warns of fork() in a process that has threads, and so does JAX if another test has imported it.
forks = pytest.mark.filterwarnings("ignore:.*fork()")


@forks
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
def test_workers_of_a_data_loader():
    """Every worker has a seed of its own, and the same one for the same seed of the parent."""
    loader = DataLoader(Dropped(), batch_size=1, num_workers=2, multiprocessing_context="fork")
    first, again = (seeded(lambda: torch.cat(list(loader))) for _ in range(2))
    assert torch.equal(first, again)
    assert len({tuple(row.tolist()) for row in first}) == 4


@forks
def test_after_a_fork_both_processes_draw():
    ft.dropout(torch.ones(1000, 1000))
    torch.manual_seed(3)
    child = os.fork()
    if child == 0:
        ok = torch.equal(ft.dropout(X), seeded(ft.dropout, X))
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert torch.equal(ft.dropout(X), seeded(ft.dropout, X))
