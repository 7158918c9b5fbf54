#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "comm/topology.h"
#include "tests/support/ranks.h"

namespace moe {

// What the exchanges must do on nodes of one shape, whatever carries them.
struct AllToAllCase {
  std::string name;
  NodeShape shape;  // as many ranks as make_ranks makes
  std::function<std::unique_ptr<RankRunner>()> make_ranks;
};

class AllToAllTest : public testing::TestWithParam<AllToAllCase> {
 protected:
  void Run(const RankRunner::Body& body) const {
    CommunicatorOptions options;
    options.timeout = absl::Seconds(20);
    GetParam().make_ranks()->Run(options, body);
  }
};

}  // namespace moe
