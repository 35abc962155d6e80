// SPDX-License-Identifier: BSD-3-Clause
// Why not OpenMP's own threads: libgomp's workers spin for milliseconds after a parallel region, on the
// processors that the next matrix product needs. A NumPy training step beside OpenBLAS took 1.3 to 2.9 times
// as long with two OpenMP threads in fastdrop as with one (docs/performance-log.md). Its region also waits
// for a worker that the system has not yet scheduled, and hangs after fork(). Here workers sleep after 50 us,
// whoever is awake takes what nobody has taken, and a call never waits for a worker that has not come.
#include "thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "floating_point.h"
#include "thread_limit.h"
#include "tuning.h"

namespace fastdrop {
namespace {

void work_alone(int count, const std::function<void(int)>& run_chunk) {
  const DefaultFloatingPoint environment;
  for (int chunk = 0; chunk < count; ++chunk) run_chunk(chunk);
}

// The scheduler may leave a woken worker on its caller's processor. Excluding that processor from the
// worker's affinity for a moment makes it migrate; the old affinity is restored unless somebody changed it in
// between.
void move_off(int processor) {
  cpu_set_t usable, now;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return;
  cpu_set_t others = usable;
  CPU_CLR(static_cast<std::size_t>(processor), &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  if (sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &others))
    sched_setaffinity(0, sizeof usable, &usable);
}

// As std::condition_variable, whose wait() is the only thing here that would need the libstdc++ of GCC 12: an
// environment such as conda's may bring an older one than the compiler's, and the import would fail.
class Condition {
 public:
  template <typename Predicate>
  void wait(std::unique_lock<std::mutex>& lock, Predicate holds) {
    while (!holds()) pthread_cond_wait(&condition_, lock.mutex()->native_handle());
  }
  void notify_one() { pthread_cond_signal(&condition_); }
  void notify_all() { pthread_cond_broadcast(&condition_); }

 private:
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

// One job at a time. A caller that finds the pool busy does its job alone: the processors are in use.
class Pool {
 public:
  void run(int threads, int count, const std::function<void(int)>& run_chunk) {
    const std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) return work_alone(count, run_chunk);
    start_workers(threads - 1);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      run_chunk_ = &run_chunk;
      shares_ = std::vector<Share>(static_cast<std::size_t>(threads));
      for (int thread = 0; thread < threads; ++thread) {
        Share& share = shares_[static_cast<std::size_t>(thread)];
        share.next = static_cast<int>(std::int64_t{count} * thread / threads);
        share.end = static_cast<int>(std::int64_t{count} * (thread + 1) / threads);
      }
      open_slots_ = threads - 1;
      caller_processor_ = sched_getcpu();
      jobs_.fetch_add(1, std::memory_order_release);
      wake_.notify_all();
    }
    take_chunks(run_chunk, 0);
    std::unique_lock<std::mutex> lock(mutex_);
    open_slots_ = 0;  // who has not come by now finds nothing to do
    // The others are in the middle of their last chunk, so this is over sooner than a sleep would be.
    for (int yields = 0; working_ > 0 && yields < kYields; ++yields) {
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
    done_.wait(lock, [this] { return working_ == 0; });
  }

 private:
  struct alignas(64) Share {  // a cache line each
    std::atomic<int> next{0};
    int end = 0;
  };

  // First the thread's own share, then what is left of the others': from call to call a core then works on
  // what its cache holds, which at 1 Mi floats gained 1.7 times instead of 1.4 (docs/performance-log.md).
  void take_chunks(const std::function<void(int)>& run_chunk, std::size_t own) {
    const DefaultFloatingPoint environment;
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[(own + i) % shares_.size()];
      for (int chunk; (chunk = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;)
        run_chunk(chunk);
    }
  }

  void start_workers(int wanted) {
    // Workers take no signals, which are for the threads that the program knows, but for those that a fault
    // raises: a handler that reports crashes must see them.
    sigset_t others, before;
    sigfillset(&others);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&others, fault);
    if (workers_ >= wanted || pthread_sigmask(SIG_SETMASK, &others, &before) != 0) return;
    try {
      for (; workers_ < wanted; ++workers_)
        std::thread([this, own = static_cast<std::size_t>(workers_) + 1] { worker_loop(own); }).detach();
    } catch (const std::exception&) {
      // No more threads, or no memory, to be had: those that there are do the work.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void worker_loop(std::size_t own) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return open_slots_ > 0; });
      if (const int processor = sched_getcpu(); processor == caller_processor_) {
        lock.unlock();  // a worker that moves has not come yet: nobody waits for it
        move_off(processor);
        lock.lock();
        if (open_slots_ == 0) continue;
      }
      --open_slots_;
      ++working_;
      const std::function<void(int)>& run_chunk = *run_chunk_;
      lock.unlock();
      take_chunks(run_chunk, own);
      lock.lock();
      if (--working_ == 0) done_.notify_one();
      const unsigned known = jobs_.load(std::memory_order_relaxed);
      lock.unlock();
      spin_for_work(known);
      lock.lock();
    }
  }

  // Waits a little for another job. Yielding lets everybody go first who has work for that core.
  void spin_for_work(unsigned known) {
    const auto end = std::chrono::steady_clock::now() + kSpin;
    while (jobs_.load(std::memory_order_acquire) == known && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
  }

  std::mutex turn_;   // held by whoever has given the pool a job
  std::mutex mutex_;  // guards what follows, but for what is atomic
  Condition wake_, done_;
  int workers_ = 0;     // guarded by turn_
  int open_slots_ = 0;  // workers that may still join the job
  int working_ = 0;
  const std::function<void(int)>* run_chunk_ = nullptr;
  std::vector<Share> shares_;
  int caller_processor_ = 0;
  std::atomic<unsigned> jobs_{0};  // how many there have been
};

// Never destroyed: at exit its workers sleep on it.
std::atomic<Pool*> pool{nullptr};

Pool& the_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    pool = new Pool;
    // fork() copies the caller's thread only: the child begins with a new pool, whatever state its copy of
    // the old one is in.
    pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
  });
  return *pool;
}

}  // namespace

void run_chunks(std::uint64_t worthwhile_threads, const std::function<void(int, int)>& run_chunk) {
  const auto most = static_cast<std::uint64_t>(thread_count());
  const int threads = static_cast<int>(std::min(worthwhile_threads, most));
  const int count = threads > 1 ? threads * kChunksPerThread : 1;
  const auto with_count = [&run_chunk, count](int chunk) { run_chunk(chunk, count); };
  if (threads > 1) return the_pool().run(threads, count, with_count);
  work_alone(count, with_count);
}

}  // namespace fastdrop
