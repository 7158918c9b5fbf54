#include "kernels/ops/weight_matrix.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/cpu/packed_matrix.h"

namespace moe {
namespace {

bool IsWeightDType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16;
}

}  // namespace

absl::StatusOr<WeightMatrix> PackWeight(const TensorView& source, DType dtype,
                                        Stream& stream) {
  if (source.empty() || source.rank != 2 || source.dims[0] < 1 ||
      source.dims[1] < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("PackWeight: the weight is ", source.ShapeString(),
                     ", must be [out, in] with at least one of each"));
  }
  if (!IsWeightDType(source.dtype) || !IsWeightDType(dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("PackWeight: cannot pack ", source.ShapeString(), " as ",
                     DTypeName(dtype), "; both must be f32, f16 or bf16"));
  }
  if (source.device.type != DeviceType::kCpu) {
    return absl::InvalidArgumentError(
        absl::StrCat("PackWeight: the weight lies on ", ToString(source.device),
                     ", must be in host memory"));
  }
  if (stream.device().type != DeviceType::kCpu) {
    return NoBackendFor("PackWeight", stream.device());
  }
  const int64_t out_features = source.dims[0];
  const int64_t in_features = source.dims[1];
  const int32_t panel_columns = cpu::PanelColumns();
  const int64_t num_panels = cpu::NumPanels(out_features, panel_columns);
  ASSIGN_OR_RETURN(
      Tensor storage,
      Tensor::Allocate(dtype, {num_panels, in_features, panel_columns}));
  const int64_t panel_bytes =
      cpu::PanelBytes(dtype, in_features, panel_columns);
  static_cast<CpuStream&>(stream).threads().ParallelFor(
      num_panels, [&](int64_t panel, int) {
        cpu::PackPanel(source, dtype, panel_columns, panel,
                       storage.ptr<uint8_t>() + panel * panel_bytes);
      });
  return WeightMatrix(std::move(storage), dtype, out_features, in_features,
                      panel_columns);
}

}  // namespace moe
