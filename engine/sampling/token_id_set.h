#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace moe {

// Makes `ids` a set: ascending, each once. So a request costs a step no more
// than a pass over the vocabulary, however often it names an id.
inline void MakeTokenIdSet(std::vector<int32_t>& ids) {
  const auto not_ascending =
      std::adjacent_find(ids.begin(), ids.end(), std::greater_equal<int32_t>());
  if (not_ascending == ids.end()) return;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace moe
