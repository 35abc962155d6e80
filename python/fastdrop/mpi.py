# SPDX-License-Identifier: BSD-3-Clause
"""Windows of a mask for the processes of an MPI communicator. No process sends anything.

This module imports no MPI library: it asks a communicator for its rank and its size, and for nothing else. So
you decide where `mpi4py`, whose import initialises MPI, is imported.
"""

from __future__ import annotations

from typing import Protocol

from . import _checks
from .mask import Mask

__all__ = ["column_window", "rank_slice", "row_window"]


class Communicator(Protocol):
    """What is asked of a communicator: `mpi4py.MPI.Comm` has it."""

    def Get_rank(self) -> int: ...  # noqa: N802
    def Get_size(self) -> int: ...  # noqa: N802


def rank_slice(length: int, comm: Communicator) -> slice:
    """The part of an axis that belongs to this process: as even as possible, in the order of the ranks.

    As with `numpy.array_split`, the first ``length % size`` processes have one element more than the others.

    Parameters
    ----------
    length : int
        Length of the axis.
    comm : mpi4py.MPI.Comm
        A communicator, or any object with `Get_rank` and `Get_size`.

    Returns
    -------
    slice
        With a start and a stop, for the arrays that are divided as the mask is.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> from mpi4py import MPI
    >>> import fastdrop.mpi
    >>> fastdrop.mpi.rank_slice(10, MPI.COMM_SELF)
    slice(0, 10, None)
    """
    length = _checks.integer(length, "length", 0, _checks.INDEX_LIMIT)
    if not (hasattr(comm, "Get_rank") and hasattr(comm, "Get_size")):
        wanted = "an MPI communicator, with Get_rank and Get_size"
        raise TypeError(f"comm must be {wanted}, not {_checks.describe(comm)}")
    rank, size = comm.Get_rank(), comm.Get_size()
    quotient, remainder = divmod(length, size)
    first, last = (quotient * number + min(number, remainder) for number in (rank, rank + 1))
    return slice(first, last)


def row_window(mask: Mask, comm: Communicator) -> Mask:
    """The rows of a mask that belong to this process: its part of the first axis (data-parallel).

    Parameters
    ----------
    mask : fastdrop.Mask
        The mask of the whole array, equal in all processes.
    comm : mpi4py.MPI.Comm
        The communicator, or any object with `Get_rank` and `Get_size`.

    Returns
    -------
    fastdrop.Mask
        ``mask[rank_slice(len(mask), comm)]``. For rows divided in another way, write ``mask[first:last]``.

    Raises
    ------
    TypeError
        If `mask` is no mask, or one without axes, or `comm` no communicator.

    Examples
    --------
    >>> from mpi4py import MPI
    >>> import fastdrop, fastdrop.mpi
    >>> mask = fastdrop.Mask((1000, 64), 0.5, seed=1)
    >>> fastdrop.mpi.row_window(mask, MPI.COMM_SELF).shape
    (1000, 64)
    """
    return _checked(mask)[rank_slice(mask.shape[0], comm)]


def column_window(mask: Mask, comm: Communicator) -> Mask:
    """The columns of a mask that belong to this process: its part of the last axis (tensor-parallel).

    Parameters
    ----------
    mask : fastdrop.Mask
        The mask of the whole array, equal in all processes.
    comm : mpi4py.MPI.Comm
        The communicator, or any object with `Get_rank` and `Get_size`.

    Returns
    -------
    fastdrop.Mask
        ``mask[..., rank_slice(mask.shape[-1], comm)]``. For columns divided in another way, write
        ``mask[..., first:last]``.

    Raises
    ------
    TypeError
        If `mask` is no mask, or one without axes, or `comm` no communicator.

    Examples
    --------
    >>> from mpi4py import MPI
    >>> import fastdrop, fastdrop.mpi
    >>> mask = fastdrop.Mask((1000, 64), 0.5, seed=1)
    >>> fastdrop.mpi.column_window(mask, MPI.COMM_SELF).shape
    (1000, 64)
    """
    return _checked(mask)[..., rank_slice(mask.shape[-1], comm)]


def _checked(mask: Mask) -> Mask:
    if not isinstance(mask, Mask):
        raise _checks.not_drawn(mask, "mask", "a fastdrop.Mask")
    if not mask.shape:
        raise TypeError("mask must have an axis to divide, not the shape ()")
    return mask
