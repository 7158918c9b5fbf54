#include "tests/support/test_device.h"

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "tests/fakes/guarded_device.h"

namespace moe {

ComputeDevice TestDevice() {
  const char* const variable = std::getenv("MOE_TEST_DEVICE");
  const std::string device = variable == nullptr ? "cpu" : variable;
  if (device == "cpu") return CpuDevice();
  if (device != "guarded") {
    std::cerr << "MOE_TEST_DEVICE is " << device
              << ", must be cpu or guarded\n";
    std::exit(1);
  }
  static std::atomic<int> next_index = 1;
  // Never destroyed, as tensors of any test may outlive streams and threads.
  thread_local auto& backend = *new GuardedBackend(next_index++);
  return {&backend, [&backend = backend](ThreadPool& threads) {
            return std::make_unique<GuardedStream>(threads, backend);
          }};
}

}  // namespace moe
