#pragma once

#include <optional>
#include <vector>

#include "engine/config/index_range.h"

namespace moe {

// Part of a weight, in its canonical form (checkpoint.h): the rows of the
// ranges, one range after the other, and of these the columns. The ranges must
// not overlap. A vector has rows only.
struct WeightSlice {
  std::vector<IndexRange> rows;       // empty: all
  std::optional<IndexRange> columns;  // absent: all

  bool whole() const { return rows.empty() && !columns.has_value(); }
};

}  // namespace moe
