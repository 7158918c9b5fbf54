#include "tests/support/device_variant.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/cpu_features.h"
#include "kernels/core/cpu_stream.h"

namespace moe {

std::string DeviceVariant::Name() const {
  return absl::StrCat(device, "_", isa);
}

std::vector<DeviceVariant> AllVariants() {
  std::vector<DeviceVariant> variants;
  for (const std::string& isa : SupportedIsas()) {
    variants.push_back({"cpu", isa});
  }
  variants.push_back({"guarded", variants.front().isa});
  return variants;
}

DeviceVariant DefaultVariant() { return AllVariants().front(); }

ScopedVariant::ScopedVariant(const DeviceVariant& variant, int num_threads)
    : threads_(num_threads) {
  if (variant.device == "guarded") {
    stream_ = std::make_unique<GuardedStream>(threads_, guarded_);
  } else {
    stream_ = std::make_unique<CpuStream>(threads_);
  }
  const absl::Status status = SetIsa(variant.isa);
  EXPECT_TRUE(status.ok()) << status;
}

ScopedVariant::~ScopedVariant() {
  const absl::Status status = SetIsa("auto");
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace moe
