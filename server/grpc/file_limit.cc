#include "server/grpc/file_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

namespace moe {
namespace {

// Some containers have a hard limit of 2^30, and some libraries loop over all
// descriptor numbers.
constexpr rlim_t kMaxLimit = 1 << 20;

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
  const rlim_t wanted = std::min(limit.rlim_max, kMaxLimit);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace moe
