#include "comm/thread_communicator.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/comm/communicator_conformance.h"

namespace moe {
namespace {

CommunicatorBackend Threads(int size) {
  return {absl::StrCat("Ranks", size),
          [size] { return std::make_unique<ThreadRanks>(size); }};
}

INSTANTIATE_TEST_SUITE_P(Threads, CommunicatorTest,
                         testing::Values(Threads(1), Threads(2), Threads(3),
                                         Threads(4), Threads(7)),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace moe
