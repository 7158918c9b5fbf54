#include "kernels/ops/embedding.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {
namespace {

constexpr char kOp[] = "Embedding";

absl::Status CheckIndices(absl::string_view name,
                          absl::Span<const int32_t> indices, int64_t rows,
                          int64_t limit) {
  if (static_cast<int64_t>(indices.size()) != rows) {
    return absl::InvalidArgumentError(absl::StrCat(
        kOp, ": ", indices.size(), " ", name, "s for ", rows, " rows"));
  }
  for (size_t r = 0; r < indices.size(); ++r) {
    if (indices[r] < 0 || indices[r] >= limit) {
      return absl::InvalidArgumentError(
          absl::StrCat(kOp, ": ", name, " ", indices[r], " of row ", r,
                       " is outside [0, ", limit, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTable(absl::string_view name, const TensorView& table,
                        int64_t hidden) {
  if (table.dtype != DType::kF32 && table.dtype != DType::kF16 &&
      table.dtype != DType::kBf16) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": ", name, " is ", table.ShapeString(),
                     ", must be f32, f16 or bf16"));
  }
  return CheckTensor(kOp, name, table, table.dtype, {kAnySize, hidden});
}

}  // namespace

absl::Status Embedding(const EmbeddingArgs& args, Stream& stream) {
  RETURN_IF_ERROR(
      CheckTensor(kOp, "y", args.y, DType::kF32, {kAnySize, kAnySize}));
  const int64_t rows = args.y.dims[0], hidden = args.y.dims[1];
  RETURN_IF_ERROR(CheckTable("table", args.table, hidden));
  RETURN_IF_ERROR(
      CheckIndices("token id", args.token_ids, rows, args.table.dims[0]));
  if (!args.position_table.empty()) {
    RETURN_IF_ERROR(CheckTable("position_table", args.position_table, hidden));
    RETURN_IF_ERROR(CheckIndices("position", args.positions, rows,
                                 args.position_table.dims[0]));
  }
  return MOE_DISPATCH(Embedding, stream, args);
}

}  // namespace moe
