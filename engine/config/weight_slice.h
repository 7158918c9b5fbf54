#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/config/index_range.h"

namespace moe {

// Part of a weight in its canonical form (checkpoint.h): the rows of the
// ranges, concatenated, and the columns in `columns`. The ranges must not
// overlap. A vector has rows only.
struct WeightSlice {
  std::vector<IndexRange> rows;       // empty: all
  std::optional<IndexRange> columns;  // absent: all

  bool whole() const { return rows.empty() && !columns.has_value(); }

  // The shape of this slice of a weight of `dims`.
  std::vector<int64_t> Dims(std::vector<int64_t> dims) const {
    if (!rows.empty()) dims[0] = 0;
    for (const IndexRange& range : rows) dims[0] += range.size();
    if (columns.has_value()) dims[1] = columns->size();
    return dims;
  }
  int64_t NumElements(const std::vector<int64_t>& dims) const {
    int64_t count = 1;
    for (const int64_t dim : Dims(dims)) count *= dim;
    return count;
  }
};

}  // namespace moe
