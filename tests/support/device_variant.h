#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"
#include "tests/fakes/guarded_device.h"

namespace moe {

// One way to run ops on this machine. A suite is written once, against Stream,
// and runs on each variant:
//
//   class RopeTest : public VariantTest {};
//   TEST_P(RopeTest, ...) { ... Rope(args, stream_) ... }
//   INSTANTIATE_ON_ALL_VARIANTS(RopeTest);
struct DeviceVariant {
  std::string device;  // "cpu", or "guarded" (tests/fakes/guarded_device.h)
  std::string isa;     // of the CPU's kernels, one of SupportedIsas()

  // "cpu_avx2": fit for the name of a test.
  std::string Name() const;
};

// Each device with each instruction set, the default of the server first.
std::vector<DeviceVariant> AllVariants();
DeviceVariant DefaultVariant();

// The value of INSTANTIATE_TEST_SUITE_P's last argument.
inline std::string VariantName(
    const testing::TestParamInfo<DeviceVariant>& info) {
  return info.param.Name();
}
inline void PrintTo(const DeviceVariant& variant, std::ostream* os) {
  *os << variant.Name();
}

// Puts a variant in use for as long as it lives; one at a time.
class ScopedVariant {
 public:
  explicit ScopedVariant(const DeviceVariant& variant, int num_threads = 1);
  ~ScopedVariant();
  ScopedVariant(const ScopedVariant&) = delete;
  ScopedVariant& operator=(const ScopedVariant&) = delete;

  // A stream of the variant's device, on `num_threads` threads.
  Stream& stream() { return *stream_; }

 private:
  ThreadPool threads_;
  GuardedBackend guarded_;
  std::unique_ptr<Stream> stream_;
};

// The base of a suite that runs on each variant.
class VariantTest : public testing::TestWithParam<DeviceVariant> {
 private:
  ScopedVariant variant_{GetParam()};

 protected:
  Stream& stream_ = variant_.stream();  // on one thread
};

}  // namespace moe

#define INSTANTIATE_ON_ALL_VARIANTS(Suite)                          \
  INSTANTIATE_TEST_SUITE_P(Variants, Suite,                         \
                           testing::ValuesIn(::moe::AllVariants()), \
                           ::moe::VariantName)
