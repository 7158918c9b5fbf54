#include "kernels/core/steady_clock.h"

#include <chrono>

#include "absl/time/clock.h"

namespace moe {

absl::Time SteadyNow() {
  struct Origin {
    absl::Time system = absl::Now();
    std::chrono::steady_clock::time_point steady =
        std::chrono::steady_clock::now();
  };
  static const Origin origin;
  return origin.system +
         absl::FromChrono(std::chrono::steady_clock::now() - origin.steady);
}

}  // namespace moe
