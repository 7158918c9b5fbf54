#include "tests/support/test_stream.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/cpu_backend.h"
#include "tests/fakes/guarded_device.h"

namespace moe {
namespace {

std::string TestDevice() {
  const char* const variable = std::getenv("MOE_TEST_DEVICE");
  return variable == nullptr ? "cpu" : variable;
}

GuardedBackend& ThreadBackend() {
  static std::atomic<int> next_index = 1;
  // Never destroyed, as tensors of any test may outlive streams and threads.
  thread_local auto& backend = *new GuardedBackend(next_index++);
  return backend;
}

absl::StatusOr<std::unique_ptr<Stream>> MakeGuardedStream(ThreadPool& threads) {
  return std::make_unique<GuardedStream>(threads, ThreadBackend());
}

}  // namespace

StreamFactory TestStream() {
  const std::string device = TestDevice();
  if (device == "cpu") return MakeCpuStream;
  if (device == "guarded") return MakeGuardedStream;
  return [device](ThreadPool&) {
    return absl::InvalidArgumentError(absl::StrCat(
        "MOE_TEST_DEVICE is ", device, ", must be cpu or guarded"));
  };
}

DeviceBackend& TestBackend() {
  if (TestDevice() == "guarded") return ThreadBackend();
  return HostBackend();
}

}  // namespace moe
