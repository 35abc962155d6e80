// SPDX-License-Identifier: BSD-3-Clause
// Which calls give up the GIL while they work.
#pragma once
#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

#include <cstdint>
#include <exception>

#include "../dispatch/isa_registry.h"
#include "../runtime/thread_limit.h"
#include "../runtime/tuning.h"

namespace fastdrop {

template <class Work>
void without_gil(std::uint64_t element_count, const Work& work) {
  if (element_count < kReleaseElements) return work();
  // These may throw or set something up once; both happen while the GIL is held.
  current_isa();
  thread_count();
  // Not py::gil_scoped_release: in a daemon thread of a process that exits, taking the GIL back ends the
  // thread by unwinding it, which a destructor turns into std::terminate. Such a thread is parked instead, as
  // it would be in newer Pythons.
  PyThreadState* state = PyEval_SaveThread();
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    PyEval_RestoreThread(state);
  } catch (abi::__forced_unwind&) {
    for (;;) pause();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace fastdrop
