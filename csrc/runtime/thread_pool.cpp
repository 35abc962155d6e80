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
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "floating_point.h"
#include "thread_limit.h"
#include "tuning.h"

namespace fastdrop {
namespace {

using RunChunk = std::function<void(int chunk, int thread)>;

void work_alone(int chunks, Interrupt* interrupt, const RunChunk& run_chunk) {
  const DefaultFloatingPoint environment;
  run_chunk(0, 0);
  for (int chunk = 1; chunk < chunks && !stops(interrupt); ++chunk) run_chunk(chunk, 0);
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
  // The same, but calls meanwhile() after each interval, with the lock released.
  template <typename Predicate, typename Meanwhile>
  void wait(std::unique_lock<std::mutex>& lock, Predicate holds, Meanwhile meanwhile) {
    while (!holds()) {
      timespec until;
      clock_gettime(CLOCK_REALTIME, &until);
      until.tv_nsec += std::chrono::nanoseconds(kPollInterval).count();
      until.tv_sec += until.tv_nsec / 1'000'000'000, until.tv_nsec %= 1'000'000'000;
      if (pthread_cond_timedwait(&condition_, lock.mutex()->native_handle(), &until) != ETIMEDOUT) continue;
      lock.unlock();
      meanwhile();
      lock.lock();
    }
  }
  void notify_one() { pthread_cond_signal(&condition_); }
  void notify_all() { pthread_cond_broadcast(&condition_); }

 private:
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

// One job at a time. A caller that finds the pool busy does its job alone: the processors are in use.
class Pool {
 public:
  void run(const Sharing& sharing, Interrupt* interrupt, const RunChunk& run_chunk) {
    const Turn turn(busy_);
    if (!turn.is_ours()) return work_alone(sharing.chunks, interrupt, run_chunk);
    start_workers(sharing.threads - 1);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      run_chunk_ = &run_chunk;
      interrupt_ = interrupt;
      shares_ = std::vector<Share>(static_cast<std::size_t>(sharing.threads));
      for (int thread = 0; thread < sharing.threads; ++thread) {
        Share& share = shares_[static_cast<std::size_t>(thread)];
        share.next = static_cast<int>(std::int64_t{sharing.chunks} * thread / sharing.threads);
        share.end = static_cast<int>(std::int64_t{sharing.chunks} * (thread + 1) / sharing.threads);
      }
      open_slots_ = sharing.threads - 1;
      caller_processor_ = sched_getcpu();
      jobs_.fetch_add(1, std::memory_order_release);
      wake_.notify_all();
    }
    take_chunks(0, 0);
    std::unique_lock<std::mutex> lock(mutex_);
    open_slots_ = 0;  // who has not come by now finds nothing to do
    // The others are in the middle of their last chunk, so this is over sooner than a sleep would be.
    for (int yields = 0; working_ > 0 && yields < kYields; ++yields) {
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
    done_.wait(lock, [this] { return working_ == 0; }, [interrupt] { stops(interrupt); });
  }

 private:
  // The pool, for one caller at a time. Not a mutex: what an interrupt asks may call again on the same
  // thread.
  class Turn {
   public:
    explicit Turn(std::atomic_flag& busy)
        : busy_(busy), is_ours_(!busy.test_and_set(std::memory_order_acquire)) {}
    ~Turn() {
      if (is_ours_) busy_.clear(std::memory_order_release);
    }
    Turn(const Turn&) = delete;
    bool is_ours() const { return is_ours_; }

   private:
    std::atomic_flag& busy_;
    bool is_ours_;
  };
  struct alignas(64) Share {  // a cache line each
    std::atomic<int> next{0};
    int end = 0;
  };

  // First the share that is the thread's own from call to call, then what is left of the others': a core then
  // works on what its cache holds, which at 1 Mi floats gained 1.7 times instead of 1.4
  // (docs/performance-log.md).
  void take_chunks(std::size_t own, int thread) {
    const DefaultFloatingPoint environment;
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[(own + i) % shares_.size()];
      for (int chunk; (chunk = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) {
        (*run_chunk_)(chunk, thread);
        if (stops(interrupt_)) return;
      }
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
      const int thread = open_slots_--;
      ++working_;
      lock.unlock();
      take_chunks(own, thread);
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

  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;  // whether a caller has given the pool a job
  std::mutex mutex_;                          // guards what follows, but for what is atomic
  Condition wake_, done_;
  int workers_ = 0;     // of the caller whose turn it is
  int open_slots_ = 0;  // workers that may still join the job
  int working_ = 0;
  // Of the job. They stay as they are while somebody works on it.
  const RunChunk* run_chunk_ = nullptr;
  Interrupt* interrupt_ = nullptr;
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
    pthread_atfork(nullptr, nullptr, [] {
      alignas(Pool) static unsigned char place[sizeof(Pool)];  // there may be no memory in the child
      pool = new (place) Pool;
    });
  });
  return *pool;
}

}  // namespace

Sharing share_out(std::uint64_t element_count, std::uint64_t elements_per_thread) {
  const auto most = static_cast<std::uint64_t>(thread_count());
  const int threads =
      static_cast<int>(std::max(std::min(element_count / elements_per_thread, most), std::uint64_t{1}));
  const auto pieces = static_cast<int>((element_count + kPieceElements - 1) / kPieceElements);
  return {threads, std::max(threads > 1 ? threads * kChunksPerThread : 1, pieces)};
}

void run_chunks(const Sharing& sharing, Interrupt* interrupt, const RunChunk& run_chunk) {
  if (sharing.threads > 1) return the_pool().run(sharing, interrupt, run_chunk);
  work_alone(sharing.chunks, interrupt, run_chunk);
}

}  // namespace fastdrop
