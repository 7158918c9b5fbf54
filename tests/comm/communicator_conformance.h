#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "tests/support/ranks.h"

namespace moe {

// What every HostCommunicator must do. A back end registers in one
// instantiation:
//   INSTANTIATE_TEST_SUITE_P(Mine, CommunicatorTest, testing::Values(...));
struct CommunicatorBackend {
  std::string name;
  std::function<std::unique_ptr<RankRunner>()> make_ranks;
};

class CommunicatorTest : public testing::TestWithParam<CommunicatorBackend> {
 protected:
  // Runs `body` on every rank; waits are bounded by `timeout`.
  void Run(const RankRunner::Body& body,
           absl::Duration timeout = absl::Seconds(20),
           size_t max_message_bytes = size_t{1} << 30) const {
    CommunicatorOptions options;
    options.timeout = timeout;
    options.max_message_bytes = max_message_bytes;
    GetParam().make_ranks()->Run(options, body);
  }
};

}  // namespace moe
