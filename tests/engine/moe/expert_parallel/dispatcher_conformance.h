#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/topology.h"
#include "engine/config/model_config.h"
#include "engine/moe/expert_parallel/moe_dispatchers.h"
#include "engine/parallel/process_groups.h"
#include "gtest/gtest.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"
#include "tests/support/ranks.h"

namespace moe {

// One MoE layer laid over ranks.
struct DispatcherCase {
  int world;
  int tensor;
  int experts;
  int ep;
  int es = 1;
  NodeShape nodes = {1, 0};  // 0: all ranks
  int64_t top_k = 1;

  std::string Name() const;
};

// How the rows of a step choose.
enum class RoutingPattern { kEven, kOneExpert, kLastExperts };

// One rank of a case. Its experts are a formula in whole numbers, so that sums
// over slices are exact.
class DispatcherRank {
 public:
  // Collective over `world`.
  DispatcherRank(HostCommunicator& world, const DispatcherCase& c,
                 std::optional<ExchangeKind> pinned);

  int data_rank() const { return rank_ / case_.tensor; }
  const MoeLayerLoad& load() const { return load_; }
  ProcessGroups& groups() { return *groups_; }

  // One step; expects every row's results to be those of its experts.
  void Step(const std::vector<int32_t>& rows_on_data_ranks,
            RoutingPattern pattern);

  // Runs a dispatch of `rows` rows to its end; all experts answer 0.
  absl::Status RunWith(const std::vector<int32_t>& rows_on_data_ranks,
                       int64_t rows);

  // Begins a dispatch of a step, aborts all groups, and destroys the handle.
  void GiveUp(const std::vector<int32_t>& rows_on_data_ranks,
              const absl::Status& reason);

 private:
  // Computes what this rank's experts answer, on the host.
  Tensor RunExperts(const DispatchedTokens& tokens);
  // Parts that sum up to one.
  float SliceShare(int slice) const;

  const DispatcherCase case_;
  const int rank_;
  ThreadPool threads_{1};
  std::unique_ptr<Stream> stream_;
  ModelConfig config_;
  std::unique_ptr<ProcessGroups> groups_;
  MoeDispatchers dispatchers_;
  MoeLayerLoad load_;
};

// Ranks of one back end, as many as the case has, and a case.
struct DispatcherConformanceCase {
  DispatcherCase layout;
  std::unique_ptr<RankRunner> (*ranks)(int size);
};

// Steps of all sizes and patterns, under every kind of exchange. Each back end
// instantiates it.
class DispatcherConformanceTest
    : public testing::TestWithParam<DispatcherConformanceCase> {};

std::string NameOf(
    const testing::TestParamInfo<DispatcherConformanceCase>& info);

}  // namespace moe
