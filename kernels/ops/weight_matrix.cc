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

struct PackWeightArgs {
  TensorView source;   // [out, in]
  TensorView storage;  // [panels, in, panel_columns]
  int32_t panel_columns = 0;
};

}  // namespace

namespace cpu {

static absl::Status PackWeight(const PackWeightArgs& args, CpuStream& stream) {
  const DType dtype = args.storage.dtype;
  const int64_t panel_bytes =
      PanelBytes(dtype, args.source.dims[1], args.panel_columns);
  stream.threads().ParallelFor(args.storage.dims[0], [&](int64_t panel, int) {
    PackPanel(args.source, dtype, args.panel_columns, panel,
              args.storage.ptr<uint8_t>() + panel * panel_bytes);
  });
  return absl::OkStatus();
}

}  // namespace cpu

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
  if (!(source.device == Device{})) {
    return absl::InvalidArgumentError(
        absl::StrCat("PackWeight: the weight lies on ", ToString(source.device),
                     ", must be in host memory"));
  }
  if (stream.device().type != DeviceType::kCpu) {
    return NoBackendFor("PackWeight", stream.device());
  }
  const int64_t out_features = source.dims[0];
  const int64_t in_features = source.dims[1];
  PackWeightArgs args;
  args.source = source;
  args.panel_columns = cpu::PanelColumns();
  ASSIGN_OR_RETURN(
      Tensor storage,
      Tensor::Allocate(stream.backend(), dtype,
                       {cpu::NumPanels(out_features, args.panel_columns),
                        in_features, args.panel_columns}));
  args.storage = storage.view();
  RETURN_IF_ERROR(MOE_DISPATCH(PackWeight, stream, args));
  RETURN_IF_ERROR(stream.Synchronize());
  return WeightMatrix(std::move(storage), dtype, out_features, in_features,
                      args.panel_columns);
}

}  // namespace moe
