#include "engine/sampling/token_id_set.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(TokenIdSetTest, HasEachIdOnceInOrder) {
  const std::vector<std::vector<int32_t>> cases[] = {
      {{}, {}},
      {{5}, {5}},
      {{1, 2, 3}, {1, 2, 3}},
      {{1, 1, 2}, {1, 2}},
      {{3, 1, 3, 2, 1}, {1, 2, 3}},
  };
  for (const auto& pair : cases) {
    std::vector<int32_t> ids = pair[0];
    MakeTokenIdSet(ids);
    EXPECT_EQ(ids, pair[1]);
  }
}

}  // namespace
}  // namespace moe
