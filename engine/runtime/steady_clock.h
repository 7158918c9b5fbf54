#pragma once

#include "absl/time/time.h"

namespace moe {

// The time, as the system's clock had it when this was first asked, and moving
// steadily since: whoever sets the system's clock changes no difference between
// two of these. Thread-safe.
absl::Time SteadyNow();

}  // namespace moe
