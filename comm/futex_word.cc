#include "comm/futex_word.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>

#include "absl/time/time.h"

namespace moe {

// Without FUTEX_PRIVATE_FLAG: C++'s atomic::wait is private to a process.
void FutexWord::Increment() {
  value_.fetch_add(1, std::memory_order_release);
  syscall(SYS_futex, &value_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

bool FutexWord::WaitWhile(uint32_t seen, const Deadline& deadline) {
  while (Load() == seen) {
    const absl::Duration left = deadline.Left();
    if (left <= absl::ZeroDuration()) return false;
    // Hours at most, for timespec cannot hold an infinite wait.
    const timespec time = absl::ToTimespec(std::min(left, absl::Hours(1)));
    // Returns too if the counter has changed already, on signals, spuriously.
    syscall(SYS_futex, &value_, FUTEX_WAIT, seen, &time, nullptr, 0);
  }
  return true;
}

}  // namespace moe
