#include "engine/checkpoint/deepspeed/replica_check.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/core/dtype.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

float ValueAt(const TensorView& view, int64_t i) {
  switch (view.dtype) {
    case DType::kF16:
      return HalfToFloat(view.ptr<uint16_t>()[i]);
    case DType::kBf16:
      return Bf16ToFloat(view.ptr<uint16_t>()[i]);
    default:
      return view.ptr<float>()[i];
  }
}

}  // namespace

absl::StatusOr<double> MaxDifference(const WeightPart& a, const WeightPart& b,
                                     const std::string& name) {
  // The values are equal unless a file is damaged, which reading the used copy
  // detects.
  const std::string fingerprint = a.file->Fingerprint(a.tensor);
  if (!fingerprint.empty() && fingerprint == b.file->Fingerprint(b.tensor)) {
    return 0.0;
  }
  ASSIGN_OR_RETURN(const HostWeight first, a.file->Read(a.tensor, name));
  ASSIGN_OR_RETURN(const HostWeight second, b.file->Read(b.tensor, name));
  const int64_t count = first.view.num_elements();
  if (first.view.dtype == second.view.dtype &&
      std::memcmp(first.view.data, second.view.data,
                  static_cast<size_t>(count) * SizeOf(first.view.dtype)) == 0) {
    return 0.0;
  }
  double largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double x = ValueAt(first.view, i), y = ValueAt(second.view, i);
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    const double difference = std::abs(x - y);
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

}  // namespace moe
