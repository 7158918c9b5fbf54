#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/core/device.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// One way of running ops on this machine, for tests that are written once and
// run on all of them.
struct TestTarget {
  Device device;
  std::string isa;  // of the CPU, one of SupportedIsas()

  // "cpu_avx2": fit for a test's name.
  std::string Name() const;
};

// Every device, the CPU once for each instruction set that it has.
std::vector<TestTarget> AllTestTargets();

// For INSTANTIATE_TEST_SUITE_P(..., ValuesIn(AllTestTargets()), ...).
inline void PrintTo(const TestTarget& target, std::ostream* os) {
  *os << target.Name();
}

// Makes a target the one in use for as long as it lives; one at a time.
class ScopedTestTarget {
 public:
  explicit ScopedTestTarget(const TestTarget& target, int num_threads = 2);
  ~ScopedTestTarget();
  ScopedTestTarget(const ScopedTestTarget&) = delete;
  ScopedTestTarget& operator=(const ScopedTestTarget&) = delete;

  Stream& stream() { return *stream_; }

 private:
  ThreadPool threads_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace moe
