#include "server/generation/server_identity.h"

#include <random>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "kernels/core/steady_clock.h"

namespace moe {

ServerIdentity MakeServerIdentity() {
  std::random_device device;
  return {kServerVersion, absl::StrFormat("%08x%08x", device(), device()),
          absl::Now(), SteadyNow()};
}

}  // namespace moe
