#include "engine/checkpoint/deepspeed/qkv_layout.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {

absl::StatusOr<QkvLayout> ParseQkvLayout(absl::string_view name) {
  if (name == "head_interleaved") return QkvLayout::kHeadInterleaved;
  if (name == "q_k_v" || name == "version_0") return QkvLayout::kQKV;
  if (name == "version_1") return QkvLayout::kVersion1;
  return absl::InvalidArgumentError(absl::StrCat(
      "qkv_layout is '", name,
      "', must be head_interleaved, q_k_v, version_0 or version_1"));
}

absl::string_view QkvLayoutName(QkvLayout layout) {
  switch (layout) {
    case QkvLayout::kQKV:
      return "q_k_v";
    case QkvLayout::kHeadInterleaved:
      return "head_interleaved";
    case QkvLayout::kVersion1:
      return "version_1";
  }
  return "?";
}

std::vector<int64_t> QkvTargetRows(QkvLayout layout, int64_t heads,
                                   int64_t kv_heads, int64_t head_dim,
                                   int64_t rank, int64_t ranks) {
  const int64_t query_rows = heads * head_dim;  // of one shard
  const int64_t key_rows = kv_heads * head_dim;
  const int64_t key_begin = ranks * query_rows;  // in the canonical matrix
  const int64_t value_begin = key_begin + ranks * key_rows;
  const auto query = [&](int64_t row) { return rank * query_rows + row; };
  const auto key = [&](int64_t row) {
    return key_begin + rank * key_rows + row;
  };
  const auto value = [&](int64_t row) {
    return value_begin + rank * key_rows + row;
  };

  std::vector<int64_t> target;
  target.reserve(static_cast<size_t>(query_rows + 2 * key_rows));
  switch (layout) {
    case QkvLayout::kQKV:
      for (int64_t r = 0; r < query_rows; ++r) target.push_back(query(r));
      for (int64_t r = 0; r < key_rows; ++r) target.push_back(key(r));
      for (int64_t r = 0; r < key_rows; ++r) target.push_back(value(r));
      break;
    case QkvLayout::kHeadInterleaved: {
      const int64_t group_rows = heads / kv_heads * head_dim;
      for (int64_t g = 0; g < kv_heads; ++g) {
        for (int64_t r = 0; r < group_rows; ++r) {
          target.push_back(query(g * group_rows + r));
        }
        for (int64_t c = 0; c < head_dim; ++c) {
          target.push_back(key(g * head_dim + c));
        }
        for (int64_t c = 0; c < head_dim; ++c) {
          target.push_back(value(g * head_dim + c));
        }
      }
      break;
    }
    case QkvLayout::kVersion1:
      for (int64_t r = 0; r < query_rows; ++r) {
        target.push_back(query(r));
        target.push_back(key(r));
        target.push_back(value(r));
      }
      break;
  }
  return target;
}

}  // namespace moe
