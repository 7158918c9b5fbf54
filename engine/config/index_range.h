#pragma once

#include <cstdint>

namespace moe {

// The indices begin, begin + 1, ..., end - 1.
struct IndexRange {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
  bool contains(int64_t i) const { return begin <= i && i < end; }
};

// Part `part` of [0, count) split into `parts` contiguous ranges; the first
// count % parts of them have one more element.
inline IndexRange PartitionRange(int64_t count, int64_t part, int64_t parts) {
  const int64_t each = count / parts, more = count % parts;
  const auto begin = [&](int64_t i) {
    return i * each + (i < more ? i : more);
  };
  return {begin(part), begin(part + 1)};
}

}  // namespace moe
