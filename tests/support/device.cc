#include "tests/support/device.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_features.h"

namespace moe {

std::string TestTarget::Name() const { return absl::StrCat("cpu_", isa); }

std::vector<TestTarget> AllTestTargets() {
  std::vector<TestTarget> targets;
  for (const std::string& isa : SupportedIsas()) {
    targets.push_back({Device{DeviceType::kCpu, 0}, isa});
  }
  return targets;
}

ScopedTestTarget::ScopedTestTarget(const TestTarget& target, int num_threads)
    : threads_(num_threads), stream_(std::make_unique<CpuStream>(threads_)) {
  const absl::Status status = SetIsa(target.isa);
  EXPECT_TRUE(status.ok()) << status.ToString();
}

ScopedTestTarget::~ScopedTestTarget() {
  const absl::Status status = SetIsa("auto");
  EXPECT_TRUE(status.ok()) << status.ToString();
}

}  // namespace moe
