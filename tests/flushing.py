# SPDX-License-Identifier: BSD-3-Clause
"""Flush-to-zero in this thread, as a library that was built with -ffast-math leaves it."""

import contextlib
import ctypes
import mmap
import platform

import pytest

# MXCSR at reset, and its bits FTZ and DAZ: Intel, Software Developer's Manual, volume 1, section 10.2.3.
RESET, FTZ, DAZ = 0x1F80, 0x8000, 0x0040

needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="sets MXCSR by instructions of x86-64")

if platform.machine() == "x86_64":
    # ldmxcsr [rdi]; ret   and   stmxcsr [rdi]; ret
    _CODE = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    _CODE.write(bytes([0x0F, 0xAE, 0x17, 0xC3, 0x0F, 0xAE, 0x1F, 0xC3]))
    _ADDRESS = ctypes.addressof(ctypes.c_char.from_buffer(_CODE))
    _FUNCTION = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint32))
    _load, _store = _FUNCTION(_ADDRESS), _FUNCTION(_ADDRESS + 4)


def mxcsr():
    word = ctypes.c_uint32()
    _store(ctypes.byref(word))
    return word.value


@contextlib.contextmanager
def flushing(bits=FTZ | DAZ):
    """Subnormal results become 0 (FTZ), and subnormal operands count as 0 (DAZ)."""
    before = mxcsr()
    _load(ctypes.c_uint32(RESET | bits))
    try:
        yield
        assert mxcsr() & (FTZ | DAZ) == bits  # and nobody has changed that
    finally:
        _load(ctypes.c_uint32(before))
