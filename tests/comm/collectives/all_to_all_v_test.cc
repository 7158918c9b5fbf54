#include "comm/collectives/all_to_all_v.h"

#include "absl/strings/str_cat.h"
#include "tests/comm/collectives/all_to_all_conformance.h"

namespace moe {
namespace {

AllToAllCase Threads(int nodes, int places) {
  return {absl::StrCat(nodes, "x", places), {nodes, places}, [=] {
            return std::make_unique<ThreadRanks>(nodes * places);
          }};
}

INSTANTIATE_TEST_SUITE_P(Threads, AllToAllTest,
                         testing::Values(Threads(1, 1), Threads(1, 2),
                                         Threads(1, 3), Threads(3, 1),
                                         Threads(2, 2), Threads(3, 2),
                                         Threads(1, 8), Threads(2, 4),
                                         Threads(4, 2)),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace moe
