#pragma once

#include "absl/time/time.h"

namespace moe {

// The system time at the first call plus the steady time since then, so that
// setting the system clock does not change differences between two results.
// Thread-safe.
absl::Time SteadyNow();

}  // namespace moe
