# SPDX-License-Identifier: BSD-3-Clause
"""Windows for the processes of a communicator, which needs no MPI library: together they are the mask."""

from typing import NamedTuple

import numpy as np
import pytest

import fastdrop
import fastdrop.mpi


class Process(NamedTuple):
    """What is asked of a communicator."""

    rank: int
    size: int

    def Get_rank(self):  # noqa: N802
        return self.rank

    def Get_size(self):  # noqa: N802
        return self.size


@pytest.mark.parametrize("size", [1, 2, 3, 7, 12])
def test_processes_have_the_parts_of_array_split(size):
    mask = fastdrop.Mask((7, 10), 0.5, seed=1)
    whole, processes = mask.to_numpy(), [Process(rank, size) for rank in range(size)]
    for process, rows, columns in zip(
        processes, np.array_split(whole, size), np.array_split(whole, size, axis=1), strict=True
    ):
        assert np.array_equal(fastdrop.mpi.row_window(mask, process).to_numpy(), rows)
        assert np.array_equal(fastdrop.mpi.column_window(mask, process).to_numpy(), columns)
