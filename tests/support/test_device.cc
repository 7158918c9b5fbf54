#include "tests/support/test_device.h"

#include <cstdlib>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>

#include "tests/fakes/guarded_device.h"

namespace moe {
namespace {

GuardedBackend& NewBackend() {
  static auto& mutex = *new std::mutex();
  // Never destroyed, as tensors of any test may outlive streams and threads.
  static auto& backends = *new std::deque<GuardedBackend>();
  const std::lock_guard<std::mutex> lock(mutex);
  return backends.emplace_back(static_cast<int>(backends.size()) + 1);
}

}  // namespace

ComputeDevice TestDevice() {
  const char* const variable = std::getenv("MOE_TEST_DEVICE");
  const std::string device = variable == nullptr ? "cpu" : variable;
  if (device == "cpu") return CpuDevice();
  if (device != "guarded") {
    std::cerr << "MOE_TEST_DEVICE is " << device
              << ", must be cpu or guarded\n";
    std::exit(1);
  }
  thread_local GuardedBackend& backend = NewBackend();
  return {&backend, [&backend = backend](ThreadPool& threads) {
            return std::make_unique<GuardedStream>(threads, backend);
          }};
}

}  // namespace moe
