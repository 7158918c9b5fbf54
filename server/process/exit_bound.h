#pragma once

#include "absl/time/time.h"

namespace moe {

// Ends the process with `exit_status` after `time`, whatever hangs, unless it
// has ended before; destructors do not run then.
void EndProcessAfter(absl::Duration time, int exit_status);

}  // namespace moe
