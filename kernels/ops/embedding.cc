#include "kernels/ops/embedding.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {
namespace {

constexpr char kOp[] = "Embedding";

absl::Status CheckTable(const Stream& stream, absl::string_view name,
                        const TensorView& table, int64_t hidden) {
  if (table.dtype != DType::kF32 && table.dtype != DType::kF16 &&
      table.dtype != DType::kBf16) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": ", name, " is ", table.ShapeString(),
                     ", must be f32, f16 or bf16"));
  }
  return CheckTensor(kOp, stream, name, table, table.dtype, {kAnySize, hidden});
}

}  // namespace

absl::Status Embedding(const EmbeddingArgs& args, Stream& stream) {
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "y", args.y, DType::kF32, {kAnySize, kAnySize}));
  const int64_t rows = args.y.dims[0], hidden = args.y.dims[1];
  RETURN_IF_ERROR(CheckTable(stream, "table", args.table, hidden));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "token_ids", args.token_ids,
                              DType::kI32, {rows}));
  if (!args.position_table.empty()) {
    RETURN_IF_ERROR(
        CheckTable(stream, "position_table", args.position_table, hidden));
    RETURN_IF_ERROR(CheckTensor(kOp, stream, "positions", args.positions,
                                DType::kI32, {rows}));
  }
  return MOE_DISPATCH(Embedding, stream, args);
}

}  // namespace moe
