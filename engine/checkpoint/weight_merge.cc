#include "engine/checkpoint/weight_merge.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Rows and columns of a matrix, or of a vector seen as one column.
int64_t NumColumns(const TensorView& view) {
  return view.rank == 2 ? view.dims[1] : 1;
}

bool IsWholeInOrder(const WeightSource& source, const FusedRows& fused) {
  if (source.parts.size() != 1 || source.ranks != 1) return false;
  return source.parts[0].split != WeightSplit::kQkv ||
         fused.qkv_layout == QkvLayout::kQKV;
}

void CopyPart(const TensorView& from, const std::vector<int64_t>& target_rows,
              int64_t first_column, const TensorView& to) {
  const size_t size = SizeOf(from.dtype);
  const size_t from_bytes = static_cast<size_t>(NumColumns(from)) * size;
  const size_t to_bytes = static_cast<size_t>(NumColumns(to)) * size;
  const char* row = from.ptr<char>();
  char* out = to.ptr<char>() + static_cast<size_t>(first_column) * size;
  for (int64_t target : target_rows) {
    std::memcpy(out + static_cast<size_t>(target) * to_bytes, row, from_bytes);
    row += from_bytes;
  }
}

}  // namespace

std::vector<int64_t> TargetRows(const WeightPart& part, int64_t part_rows,
                                int64_t ranks, const FusedRows& fused) {
  std::vector<int64_t> rows(static_cast<size_t>(part_rows));
  const auto fill = [&](auto target) {
    for (int64_t r = 0; r < part_rows; ++r) rows[r] = target(r);
  };
  const int64_t begin = part.rank * part_rows;
  switch (part.split) {
    case WeightSplit::kReplicated:
    case WeightSplit::kColumns:
      fill([](int64_t r) { return r; });
      break;
    case WeightSplit::kRows:
    case WeightSplit::kQuery:
      fill([&](int64_t r) { return begin + r; });
      break;
    case WeightSplit::kUp: {
      if (!fused.gated_mlp) {
        fill([&](int64_t r) { return begin + r; });
        break;
      }
      const int64_t half = part_rows / 2;  // its gate rows, then its up rows
      fill([&](int64_t r) {
        return r < half ? part.rank * half + r
                        : (ranks + part.rank) * half + (r - half);
      });
      break;
    }
    case WeightSplit::kQkv:
      rows = QkvTargetRows(fused.qkv_layout, fused.num_heads / ranks,
                           fused.num_kv_heads / ranks, fused.head_dim,
                           part.rank, ranks);
      break;
    case WeightSplit::kKeyValue: {
      // Per key/value head: k, then v.
      const int64_t d = fused.head_dim;
      const int64_t keys = fused.num_kv_heads * d;
      const int64_t key_begin =
          fused.num_heads * d + part.rank * (keys / ranks);
      fill([&](int64_t r) {
        const int64_t head = r / (2 * d), within = r % (2 * d);
        return key_begin + head * d + within % d + (within < d ? 0 : keys);
      });
      break;
    }
  }
  return rows;
}

absl::StatusOr<HostWeight> ReadWeight(const WeightSource& source,
                                      const FusedRows& fused,
                                      const std::string& name) {
  if (IsWholeInOrder(source, fused)) {
    return source.parts[0].file->Read(*source.parts[0].tensor, name);
  }
  // All parts first: a shape is only believed, and memory taken for it, once
  // its elements have been found in the files.
  std::vector<HostWeight> weights;
  for (const WeightPart& part : source.parts) {
    ASSIGN_OR_RETURN(HostWeight weight, part.file->Read(*part.tensor, name));
    weights.push_back(std::move(weight));
  }
  HostWeight whole;
  ASSIGN_OR_RETURN(whole.owned, Tensor::Allocate(source.parts[0].tensor->dtype,
                                                 source.dims));
  whole.view = whole.owned.view();
  for (size_t i = 0; i < weights.size(); ++i) {
    const WeightPart& part = source.parts[i];
    const HostWeight& weight = weights[i];
    const bool columns = part.split == WeightSplit::kColumns;
    CopyPart(weight.view,
             TargetRows(part, weight.view.dims[0], source.ranks, fused),
             columns ? part.rank * NumColumns(weight.view) : 0, whole.view);
  }
  return whole;
}

}  // namespace moe
