# SPDX-License-Identifier: BSD-3-Clause
"""Sixteen threads without a GIL share a generator: every call has a stream of its own, and its bits."""

import sys
import threading

import numpy as np

import fastdrop

THREADS, CALLS = 16, 5_000
X = np.ones(96, np.float32)


def main():
    masks, start = fastdrop.MaskGenerator(0), threading.Barrier(THREADS)
    drawn = []

    def work():
        start.wait()
        for _ in range(CALLS):
            y, mask = fastdrop.dropout(X, 0.5, rng=masks)
            drawn.append((mask.stream, y.tobytes()))

    workers = [threading.Thread(target=work) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if sys._is_gil_enabled():
        sys.exit("the GIL was enabled")
    streams = {stream for stream, _ in drawn}
    wanted = {
        stream: fastdrop.Mask(X.shape, 0.5, seed=0, stream=stream).apply(X).tobytes() for stream in streams
    }
    wrong = sum(wanted[stream] != y for stream, y in drawn)
    print(f"free threads: {len(streams)} streams in {THREADS * CALLS} calls, {wrong} results differ")
    if wrong or streams != set(range(THREADS * CALLS)):
        sys.exit(1)


if __name__ == "__main__":
    main()
