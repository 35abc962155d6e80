# SPDX-License-Identifier: BSD-3-Clause
"""The training on processes of MPI that ``verification.kills`` kills: each has a window of every mask.

    mpiexec -n 3 python -m mpi4py -m verification.kills_mpi FOLDER STEPS

FOLDER has a folder for each process. The first one saves a checkpoint at every step.
"""

import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

import fastdrop as fd
import fastdrop.mpi
from verification.kills_checkpoint import Checkpoint

BATCH, FEATURES, HIDDEN = 24, 16, 32


def main():
    comm = MPI.COMM_WORLD
    folder = Path(sys.argv[1]) / str(comm.rank)
    folder.mkdir(exist_ok=True)
    checkpoint = Checkpoint(folder)
    checkpoint.begin()
    masks, rng = fd.MaskGenerator(1), np.random.default_rng(0)
    x, wanted = (
        rng.standard_normal((BATCH, FEATURES), np.float32),
        rng.standard_normal((BATCH, 1), np.float32),
    )
    weights = [rng.standard_normal(shape, np.float32) / 4 for shape in ((FEATURES, HIDDEN), (HIDDEN, 1))]
    saved = comm.bcast(checkpoint.load() if comm.rank == 0 else None)
    first = 0
    if saved is not None:
        arrays, state = saved
        weights = [arrays["first"], arrays["last"]]
        masks.state, first = state["masks"], state["steps"]
    if comm.rank == 0:
        print(first, flush=True)
    own = fastdrop.mpi.rank_slice(BATCH, comm)
    for number in range(first, int(sys.argv[2])):
        checkpoint.step(number)
        mask = fastdrop.mpi.row_window(masks.mask((BATCH, HIDDEN), 0.5), comm)
        hidden = mask.apply(np.tanh(x[own] @ weights[0]))
        error = hidden @ weights[1] - wanted[own]
        back = mask.apply(error @ weights[1].T) * (1 - np.tanh(x[own] @ weights[0]) ** 2)
        parts = comm.gather([x[own].T @ back, hidden.T @ error])
        # In the order of the processes, whoever was first: sums of floating-point numbers depend on it.
        total = [sum(each) for each in zip(*parts, strict=True)] if comm.rank == 0 else None
        for weight, gradient in zip(weights, comm.bcast(total), strict=True):
            weight -= np.float32(0.01) * gradient
        if comm.rank == 0:
            arrays = {"first": weights[0], "last": weights[1]}
            checkpoint.save(arrays, {"masks": masks.state, "steps": number + 1})
    checkpoint.done()


if __name__ == "__main__":
    main()
