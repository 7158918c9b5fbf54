#include <algorithm>

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

}  // namespace

absl::Status Embedding(const EmbeddingArgs& args, CpuStream& stream) {
  const int64_t hidden = args.y.dims[1];
  ParallelRows(
      stream, args.y.dims[0], 4 * hidden, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          float* y = args.y.ptr<float>() + r * RowStride(args.y);
          ReadRow<false>(args.table, args.token_ids[r], hidden, y);
          if (!args.position_table.empty()) {
            ReadRow<true>(args.position_table, args.positions[r], hidden, y);
          }
        }
      });
  return absl::OkStatus();
}

}  // namespace moe::cpu
