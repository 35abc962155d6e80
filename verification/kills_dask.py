# SPDX-License-Identifier: BSD-3-Clause
"""The computation of which ``verification.kills`` kills a worker of Dask."""

import collections
import logging
import os
import signal
import time

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait

import fastdrop
import fastdrop.dask

SHAPE, CHUNKS = (600, 400), (60, 100)  # 40 blocks
TASK_SECONDS = 0.02  # so that a worker is in the middle of its tasks
SECONDS = 120  # without an end are a hang


def slowly(block):
    """A layer that takes its time."""
    time.sleep(TASK_SECONDS)
    return block * np.float32(2)


def run(kills, rng):
    """Kill a random worker at a random instant, so many times. Returns findings, and where the kills fell."""
    findings, hit = [], collections.Counter()
    settings = {"distributed.scheduler.allowed-failures": 10, "distributed.comm.timeouts.connect": "30s"}
    with dask.config.set(settings):
        while sum(hit.values()) < kills:
            seed = int(rng.integers(2**32))
            with cluster() as workers, Client(workers) as client:
                result, right = computed(client, seed, rng)
            if result is None:
                continue
            hit["while Dask computed"] += 1
            if result.tobytes() != right.tobytes():
                findings.append(f"seed {seed}: another result")
    return findings, hit


def cluster():
    """Two workers, for one kill: Dask gives up a worker that dies again while it starts."""
    return LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.ERROR,  # a warning says that a worker was restarted
    )


def computed(client, seed, rng):
    """What Dask computes although a worker is killed, and what is right; None if the kill came too late."""
    x = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    y, mask = fastdrop.dask.dropout(da.from_array(x, CHUNKS), 0.3, seed=seed)
    z = fastdrop.dask.apply(mask, y.map_blocks(slowly, dtype=y.dtype))
    client.wait_for_workers(2, timeout=SECONDS)
    workers = sorted(client.run(os.getpid).values())
    future = client.compute(z)
    time.sleep(TASK_SECONDS * 20 * rng.random())
    if not future.done():
        os.kill(workers[rng.integers(len(workers))], signal.SIGKILL)
    if future.done():
        return None, None
    wait(future, timeout=SECONDS)
    return future.result(), mask.apply(2 * mask.apply(x))
