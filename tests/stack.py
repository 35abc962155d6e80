# SPDX-License-Identifier: BSD-3-Clause
"""How deep a call goes: the bytes of stack that it touches."""

import ctypes
import gc
import itertools
import threading

import numpy as np

PAGE = 4096
# glibc keeps the stacks of threads that have ended, and gives one to the next thread of that size. A size
# that no thread had before is new memory, which is zero.
_SIZES = itertools.count(1 << 18, PAGE)


def started(body, size):
    """A thread that runs the function on a stack of so many bytes."""
    before = threading.stack_size(size)
    try:
        thread = threading.Thread(target=body)
        thread.start()
    finally:
        threading.stack_size(before)
    return thread


def depth(call):
    """From the top of a new thread's stack to the lowest byte that is not zero after the call."""
    done, leave = threading.Event(), threading.Event()
    failure = []

    def body():
        gc.disable()  # what it finalizes has a depth of its own
        try:
            call()
        except BaseException as error:
            failure.append(error)
        gc.enable()
        done.set()
        leave.wait()

    thread = started(body, next(_SIZES))
    done.wait()
    try:
        assert not failure, failure
        stack = _stack_of(thread)
        return len(stack) - int(np.flatnonzero(stack)[0])
    finally:
        leave.set()
        thread.join()


def _stack_of(thread):
    libc = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(64)  # a pthread_attr_t has 56 bytes on 64-bit Linux
    lowest, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert libc.pthread_getattr_np(ctypes.c_void_p(thread.ident), attributes) == 0
    assert libc.pthread_attr_getstack(attributes, ctypes.byref(lowest), ctypes.byref(size)) == 0
    libc.pthread_attr_destroy(attributes)
    # Older versions of glibc count the guard page, which cannot be read, to the stack.
    readable = ctypes.c_byte * (size.value - PAGE)
    return np.array(readable.from_address(lowest.value + PAGE))  # a copy: the thread is not asleep yet
