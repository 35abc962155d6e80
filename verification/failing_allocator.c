// SPDX-License-Identifier: BSD-3-Clause
// Stands before the C library's allocator (LD_PRELOAD) and lets chosen requests fail. It counts the requests of
// all threads while `failing_countdown` is above 0, and fails the one at which that reaches 0. What it calls
// are the names under which glibc exports its own functions, so that nothing has to be looked up first.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);
extern void __libc_free(void*);

_Atomic long failing_countdown = 0;  // set by the test
_Atomic int failing_from_then_on = 0;  // whether the requests after it fail too
_Atomic int failing_core_only = 0;  // whether only requests that the core's functions wait for count
_Atomic int failing_threads = 0;  // whether no thread can be made
_Atomic long failing_failures = 0;  // requests that have failed
_Atomic long failing_live = 0;  // blocks that are in use

// Whether a function of the core waits for this request, and no Python code that the core has called.
static int is_in_the_core(void) {
  void* callers[40];  // from the core through CPython or NumPy to malloc there are fewer
  const int count = backtrace(callers, 40);
  for (int i = 0; i < count; ++i) {
    Dl_info file;
    if (dladdr(callers[i], &file) == 0 || file.dli_fname == NULL) continue;
    if (file.dli_sname != NULL && strcmp(file.dli_sname, "_PyEval_EvalFrameDefault") == 0) return 0;
    if (strstr(file.dli_fname, "/_core.") != NULL) return 1;
  }
  return 0;
}

// The first backtrace() loads a library, and asks for memory.
__attribute__((constructor)) static void prepare(void) {
  void* caller;
  backtrace(&caller, 1);
}

static int fails(void) {
  long left = atomic_load(&failing_countdown);
  if (left < 1 || (atomic_load(&failing_core_only) && !is_in_the_core())) return 0;
  while (left > 1 && !atomic_compare_exchange_weak(&failing_countdown, &left, left - 1)) {
  }
  if (left != 1) return 0;
  if (!atomic_load(&failing_from_then_on) && !atomic_compare_exchange_strong(&failing_countdown, &left, 0))
    return 0;  // another thread's request was the one
  atomic_fetch_add(&failing_failures, 1);
  errno = ENOMEM;
  return 1;
}

static void* counted(void* block) {
  if (block != NULL) atomic_fetch_add(&failing_live, 1);
  return block;
}

void* malloc(size_t size) { return fails() ? NULL : counted(__libc_malloc(size)); }

void* calloc(size_t count, size_t size) { return fails() ? NULL : counted(__libc_calloc(count, size)); }

void* realloc(void* block, size_t size) {
  if (fails()) return NULL;
  void* const moved = __libc_realloc(block, size);
  if (block == NULL) return counted(moved);
  if (size == 0 && moved == NULL) atomic_fetch_sub(&failing_live, 1);  // glibc has freed it
  return moved;
}

void* memalign(size_t alignment, size_t size) {
  return fails() ? NULL : counted(__libc_memalign(alignment, size));
}

void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** block, size_t alignment, size_t size) {
  void* const made = memalign(alignment, size);
  if (made == NULL) return ENOMEM;
  *block = made;
  return 0;
}

void free(void* block) {
  if (block != NULL) atomic_fetch_sub(&failing_live, 1);
  __libc_free(block);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  typedef int Create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  if (atomic_load(&failing_threads) || fails()) {
    atomic_fetch_add(&failing_failures, 1);
    return EAGAIN;  // what the system says when there are too many threads
  }
  Create* create;
  *(void**)&create = dlsym(RTLD_NEXT, "pthread_create");
  return create(thread, attributes, run, argument);
}
