#include "tests/support/test_stream.h"

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/fakes/guarded_device.h"

namespace moe {
namespace {

absl::StatusOr<std::unique_ptr<Stream>> MakeGuardedStream(ThreadPool& threads) {
  // Never destroyed, as tensors of any test may outlive a stream.
  static auto& backend = *new GuardedBackend();
  return std::make_unique<GuardedStream>(threads, backend);
}

}  // namespace

StreamFactory TestStream() {
  const char* const variable = std::getenv("MOE_TEST_DEVICE");
  const std::string device = variable == nullptr ? "cpu" : variable;
  if (device == "cpu") return MakeCpuStream;
  if (device == "guarded") return MakeGuardedStream;
  return [device](ThreadPool&) {
    return absl::InvalidArgumentError(absl::StrCat(
        "MOE_TEST_DEVICE is ", device, ", must be cpu or guarded"));
  };
}

}  // namespace moe
