#pragma once

#include <atomic>
#include <cstdint>

#include "comm/deadline.h"

namespace moe {

// A counter in memory that several processes (or threads) share and on which
// they sleep: the kernel wakes them, and none of them spins. Constructed by one
// of them, before any other uses it. All members: any thread, any process that
// maps it.
class FutexWord {
 public:
  // Adds one and wakes all sleepers.
  void Increment();

  uint32_t Load() const { return value_.load(std::memory_order_acquire); }

  // Sleeps until the counter is not `seen` (true) or the deadline has passed
  // (false).
  bool WaitWhile(uint32_t seen, const Deadline& deadline);

 private:
  std::atomic<uint32_t> value_{0};
  static_assert(std::atomic<uint32_t>::is_always_lock_free);
};

}  // namespace moe
