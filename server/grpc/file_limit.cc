#include "server/grpc/file_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

namespace moe {
namespace {

// Containers have a hard limit of 2^30 now and then, and there are libraries
// that go through all numbers.
constexpr rlim_t kEnough = 1 << 20;

}  // namespace

int64_t FileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<int64_t>(
      std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<int64_t>::max()));
}

void RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min(limit.rlim_max, kEnough);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace moe
