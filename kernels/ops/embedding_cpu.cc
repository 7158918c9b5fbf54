#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/op_checks.h"

namespace moe::cpu {
namespace {

// y = table[index] or, with kAdd, y += table[index].
template <bool kAdd>
void ReadRow(const TensorView& table, int32_t index, int64_t hidden, float* y) {
  const int64_t offset = index * RowStride(table);
  const auto write = [&](auto value_of) {
    for (int64_t i = 0; i < hidden; ++i) {
      y[i] = kAdd ? y[i] + value_of(i) : value_of(i);
    }
  };
  switch (table.dtype) {
    case DType::kF16: {
      const uint16_t* row = table.ptr<uint16_t>() + offset;
      write([row](int64_t i) { return HalfToFloat(row[i]); });
      break;
    }
    case DType::kBf16: {
      const uint16_t* row = table.ptr<uint16_t>() + offset;
      write([row](int64_t i) { return Bf16ToFloat(row[i]); });
      break;
    }
    default: {
      const float* row = table.ptr<float>() + offset;
      write([row](int64_t i) { return row[i]; });
    }
  }
}

absl::Status CheckIndices(absl::string_view name, const TensorView& indices,
                          int64_t first, int64_t limit) {
  const int32_t* const ids = indices.ptr<int32_t>();
  for (int64_t r = 0; r < indices.dims[0]; ++r) {
    if (ids[r] < first || ids[r] >= limit) {
      return absl::InvalidArgumentError(
          absl::StrCat("Embedding: ", name, " ", ids[r], " of row ", r,
                       " is outside [", first, ", ", limit, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Embedding(const EmbeddingArgs& args, CpuStream& stream) {
  const int64_t hidden = args.y.dims[1];
  const int64_t first = args.first_token, end = first + args.table.dims[0];
  const bool has_positions = !args.position_table.empty();
  if (!args.partial) {
    RETURN_IF_ERROR(CheckIndices("token id", args.token_ids, first, end));
  }
  if (has_positions) {
    RETURN_IF_ERROR(CheckIndices("position", args.positions, 0,
                                 args.position_table.dims[0]));
  }
  const int32_t* const tokens = args.token_ids.ptr<int32_t>();
  const int32_t* const positions = args.positions.ptr<int32_t>();
  ParallelRows(
      stream, args.y.dims[0], 4 * hidden, [&](int64_t begin, int64_t end_row) {
        for (int64_t r = begin; r < end_row; ++r) {
          float* y = args.y.ptr<float>() + r * RowStride(args.y);
          if (tokens[r] < first || tokens[r] >= end) {
            std::fill_n(y, hidden, 0.0f);
            continue;
          }
          ReadRow<false>(args.table, static_cast<int32_t>(tokens[r] - first),
                         hidden, y);
          if (has_positions) {
            ReadRow<true>(args.position_table, positions[r], hidden, y);
          }
        }
      });
  return absl::OkStatus();
}

}  // namespace moe::cpu
