#include "kernels/ops/linear_cpu.h"

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/core/cpu_features.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/status_macros.h"
#include "kernels/cpu/gemm_plan.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/panel_gemm.h"

namespace moe::cpu {
namespace {

GemmEpilogue ToGemmEpilogue(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return GemmEpilogue::kNone;
    case Epilogue::kGeluTanh:
      return GemmEpilogue::kGeluTanh;
    case Epilogue::kGeluErf:
      return GemmEpilogue::kGeluErf;
    case Epilogue::kSquaredRelu:
      return GemmEpilogue::kSquaredRelu;
  }
  return GemmEpilogue::kNone;
}

absl::Status CheckRows(const LinearGroup& group) {
  if (group.x_rows.empty()) return absl::OkStatus();
  const int32_t* const x_rows = group.x_rows.ptr<int32_t>();
  for (int64_t r = 0; r < group.x_rows.dims[0]; ++r) {
    if (x_rows[r] < 0 || x_rows[r] >= group.x.dims[0]) {
      return absl::InvalidArgumentError(
          absl::StrCat("Linear: x_rows[", r, "] is ", x_rows[r], ", x is ",
                       group.x.ShapeString()));
    }
  }
  return absl::OkStatus();
}

PanelGemm ToPanelGemm(const LinearGroup& group) {
  PanelGemm gemm;
  gemm.weight = group.weight->data();
  gemm.weight_dtype = group.weight->dtype();
  gemm.in_features = group.weight->in_features();
  gemm.out_features = group.weight->out_features();
  gemm.x = group.x.ptr<float>();
  gemm.x_rows = group.x_rows.ptr<int32_t>();
  gemm.x_stride = group.x.strides[0];
  gemm.bias = group.bias.ptr<float>();
  gemm.residual = group.residual.ptr<float>();
  gemm.residual_stride = group.residual.strides[0];
  gemm.y = group.y.ptr<float>();
  gemm.y_stride = group.y.strides[0];
  gemm.epilogue = ToGemmEpilogue(group.epilogue);
  return gemm;
}

}  // namespace

absl::Status GroupedLinear(absl::Span<const LinearGroup> groups,
                           CpuStream& stream) {
  static std::atomic<uint64_t> last_job{0};
  const int32_t panel_columns = PanelColumns();
  std::vector<PanelGemm> gemms;
  std::vector<GemmShape> shapes;
  gemms.reserve(groups.size());
  shapes.reserve(groups.size());
  for (const LinearGroup& group : groups) {
    if (group.y.dims[0] == 0) continue;
    const WeightMatrix& weight = *group.weight;
    if (weight.panel_columns() != panel_columns) {
      return absl::FailedPreconditionError(absl::StrCat(
          "Linear: a weight [", weight.out_features(), ", ",
          weight.in_features(), "] was packed in panels of ",
          weight.panel_columns(), " columns, the instruction set in use, ",
          ChosenIsa(), ", reads ", panel_columns,
          "; choose it before weights are packed"));
    }
    RETURN_IF_ERROR(CheckRows(group));
    gemms.push_back(ToPanelGemm(group));
    shapes.push_back(
        {group.y.dims[0], NumPanels(weight.out_features(), panel_columns),
         PanelBytes(weight.dtype(), weight.in_features(), panel_columns)});
  }
  ThreadPool& threads = stream.threads();
  const std::vector<GemmPiece> pieces =
      PlanGemm(shapes, threads.num_threads(), MaxBlockedPanels(panel_columns));
  const uint64_t job = last_job.fetch_add(1, std::memory_order_relaxed) + 1;
  threads.ParallelFor(static_cast<int64_t>(pieces.size()),
                      [&](int64_t task, int) {
                        const GemmPiece& piece = pieces[task];
                        RunGemmPiece(gemms[piece.gemm_idx], piece, job);
                      });
  return absl::OkStatus();
}

}  // namespace moe::cpu
