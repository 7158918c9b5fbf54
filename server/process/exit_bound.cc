#include "server/process/exit_bound.h"

#include <unistd.h>

#include <thread>

#include "absl/time/clock.h"
#include "server/logging/log.h"

namespace moe {

void EndProcessAfter(absl::Duration time, int exit_status) {
  std::thread([time, exit_status] {
    absl::SleepFor(time);
    Log(Severity::kError, "stopped",
        {{"reason", "the process did not end in time and is cut off"}});
    FlushLog();
    _exit(exit_status);
  }).detach();
}

}  // namespace moe
