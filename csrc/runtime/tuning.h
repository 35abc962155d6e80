// SPDX-License-Identifier: BSD-3-Clause
// The constants that the speed of the runtime depends on. Figures without another source are from
// docs/performance-log.md. "Chosen" means that nobody has measured its neighbours.
#pragma once
#include <chrono>
#include <cstdint>

#include "../shared/tile.h"

namespace fastdrop {

// Minimum work for each thread. Waking a thread costs up to 15 us, so below this size a single call gets
// slower; back-to-back calls would already gain at half of it.
constexpr std::uint64_t kElementsPerThread = 1 << 19;
// The same for rows that are walked several times, whose elements take five times as long. Chosen.
constexpr std::uint64_t kReducedElementsPerThread = 1 << 17;
// The same for strided data, whose elements take longer. Chosen.
constexpr std::uint64_t kStridedElementsPerThread = 1 << 18;

// More chunks than threads: other threads do the chunks of a thread that comes late. Chosen.
constexpr int kChunksPerThread = 8;

// A call looks whether it is to stop (interrupt.h) between pieces of at most so many elements, and asks after
// each interval. The slowest element there is, a normal number without vector instructions, takes some 50 ns,
// so that Ctrl-C is answered after 100 ms, where people notice a delay from 100 to 200 ms on (Miller,
// Response time in man-computer conversational transactions, 1968). Asking waits for the GIL, up to 5 ms if
// another thread runs Python code.
constexpr std::uint64_t kPieceElements = 1 << 20;
constexpr std::chrono::milliseconds kPollInterval{50};

// How long a worker spins for the next job before it sleeps. Calls that follow each other at once save the
// waking. Half a millisecond of a core for ten calls is not visible in a NumPy training step.
constexpr std::chrono::microseconds kSpin{50};

// How often a caller yields to workers that are in the middle of their last chunk before it sleeps. Chosen.
constexpr int kYields = 100;

// Shorter calls keep the GIL: they last about as long as giving it up and taking it back. Chosen.
constexpr std::uint64_t kReleaseElements = 1 << 14;

// Shorter runs are drawn without what ARS's long sequences share (kernels/generators.h): a call on fewer
// elements needs no memory for it.
constexpr std::uint64_t kSequenceElements = 1 << 14;

// Shorter rows take less time when their decisions are gathered first: starting a kernel costs about as much
// as this many decisions in a kernel that is running.
constexpr std::uint64_t kRunElements = 512;

// From this many consecutive elements on that share a decision, each such run is worked on by itself: a
// kernel's start counts little, and what is dropped is not read.
constexpr std::uint64_t kSharedRun = 256;

// Up to this many elements until p and the constants repeat are converted once for a whole call.
constexpr std::uint64_t kPatternEntries = 1 << 16;
// A shorter period is repeated up to this length, which is then a kernel's run. Twice as much does not stay
// in a first-level cache of 32 KiB beside the data: by column 1 Mi floats took 1.9 times a copy instead
// of 1.7.
constexpr std::uint64_t kPatternRun = 2048;

// Values that are converted at a time, on the stack, and the bytes of x that are kept at a time where
// elements are copied in place. Chosen.
constexpr std::uint64_t kReadAtOnce = 128, kSavedBytes = 2048;

// Decisions that kernels on rows find as bits: 4 KiB of them, unless a row is longer. Chosen.
constexpr std::uint64_t kBitsAtOnce = 1 << 15;

// Work on rows is cut into at most so many tasks, whose sums over rows are kept until all are done. Chosen.
constexpr std::uint64_t kMostTasks = 32;
// Rows of contiguous operands that are shorter than this are worked on several as one. Chosen.
constexpr std::uint64_t kShortRow = 256;

// Tasks have at least so many elements, unless sums say otherwise: beginning to draw costs as much as some
// hundred decisions. Chosen.
constexpr std::uint64_t kTaskElements = 1 << 16;
static_assert(kTaskElements <= kElementsPerThread / kChunksPerThread);

// Decisions that are gathered at a time: they and their elements stay in the first-level cache. Chosen.
constexpr std::uint64_t kBlockDecisions = 32 * kMaxTileElements;

// A used output of this size is written with non-temporal stores: it would push out everything else and not
// fit itself. The cache's own size is no guide, since virtual machines report that of a whole socket.
constexpr std::uint64_t kNonTemporalBytes = 32 << 20;

// Up to this size of an output, which lies in the second-level cache with its input, inputs are prefetched on
// every processor: on Zen 4 that saves 4 to 8 % there, and costs as much beyond.
constexpr std::uint64_t kPrefetchedBytes = 512 << 10;

// The buffers of a strided block. They share the first-level cache with the lines that their data come from
// and go to.
constexpr std::int64_t kBufferBytes = 32 << 10;
constexpr std::int64_t kCacheLineBytes = 64;

// From this length on a contiguous row is worked on where it lies, without a buffer, in pieces. Chosen.
constexpr std::int64_t kDirectRowElements = 512;
constexpr std::int64_t kDirectPieceElements = 1 << 16;

// Decisions are transposed in squares of this side, which is also the length of a kernel's run.
constexpr std::int64_t kTransposeSide = 1024;
static_assert(kTransposeSide % kMaxTileElements == 0 && kTransposeSide / 8 % kCacheLineBytes == 0);

}  // namespace fastdrop
