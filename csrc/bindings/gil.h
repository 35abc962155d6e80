// SPDX-License-Identifier: BSD-3-Clause
// Which calls give up the GIL while they work, and take it back now and then to see whether Ctrl-C was
// pressed.
#pragma once
#include <pybind11/pybind11.h>

#include <cxxabi.h>
#include <unistd.h>

#include <cstdint>
#include <exception>

#include "../dispatch/isa_registry.h"
#include "../runtime/interrupt.h"
#include "../runtime/request.h"
#include "../runtime/thread_limit.h"
#include "../runtime/tuning.h"

namespace fastdrop {

// A thread that has given up the GIL.
class ReleasedGil {
 public:
  ReleasedGil() : state_(PyEval_SaveThread()) {}
  ReleasedGil(const ReleasedGil&) = delete;

  // Not py::gil_scoped_release: in a daemon thread of a process that exits, taking the GIL back ends the
  // thread by unwinding it, which a destructor turns into std::terminate. Such a thread is parked instead, as
  // it would be in newer Pythons.
  void take_back() {
    try {
      PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
      for (;;) pause();
    }
  }

  // Runs the handlers of signals that have come, which only Python's main thread does. Whether one of them
  // has raised an exception, as Ctrl-C's does.
  bool is_interrupted() {
    take_back();
    const bool raised = PyErr_CheckSignals() != 0;
    state_ = PyEval_SaveThread();
    return raised;
  }

 private:
  PyThreadState* state_;
};

// Calls work(interrupt), an Interrupt or null. Throws what `work` throws, or the exception of a signal's
// handler.
template <class Work>
void without_gil(std::uint64_t element_count, const Work& work) {
  if (element_count < kReleaseElements) return work(nullptr);
  // These may throw or set something up once; both happen while the GIL is held.
  current_isa();
  thread_count();
  ReleasedGil released;
  Interrupt interrupt([](void* gil) { return static_cast<ReleasedGil*>(gil)->is_interrupted(); }, &released);
  std::exception_ptr failure;
  try {
    work(&interrupt);
  } catch (...) {
    failure = std::current_exception();
  }
  released.take_back();
  if (PyErr_Occurred()) throw pybind11::error_already_set();
  if (failure) std::rethrow_exception(failure);
}

// Calls work(), which runs the request, so that a signal may interrupt it.
template <class Work>
void run_without_gil(Request& request, const Work& work) {
  without_gil(element_count(request.window), [&](Interrupt* interrupt) {
    request.interrupt = interrupt;
    work();
  });
}

}  // namespace fastdrop
