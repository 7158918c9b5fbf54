#include "engine/loading/rank_costs.h"

#include <mutex>
#include <set>
#include <string>

#include "engine/loading/rank_rates.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/thread_pool.h"
#include "tests/support/ranks.h"

namespace moe {
namespace {

CostOptions AllConfigured() {
  return {.in_node = {absl::Microseconds(5), absl::Microseconds(1), 5e9},
          .across = {absl::Microseconds(50), absl::Microseconds(5), 1e9},
          .copy_bytes_per_second = 1e10,
          .read_bytes_per_second = 1.23456e10,
          .flops_per_second = 1.5e11};
}

// The result, which must be equal on all ranks.
ResolvedCosts FindOnThreads(int size, const CostOptions& configured) {
  std::mutex mutex;
  std::set<std::string> texts;
  ResolvedCosts found;
  RunThreadRanks(size, [&](HostCommunicator& all) {
    ThreadPool threads(1);
    CpuStream stream(threads);
    const auto own = ResolveCosts(configured, all, Topology::OneNode(size),
                                  DType::kBf16, threads, stream);
    const std::lock_guard<std::mutex> lock(mutex);
    ASSERT_TRUE(own.ok()) << own.status();
    texts.insert(own->costs.ToText());
    found = *own;
  });
  EXPECT_EQ(texts.size(), 1u);
  return found;
}

TEST(RankCostsTest, MeasuresWhatIsNotConfigured) {
  const ResolvedCosts found = FindOnThreads(3, {});
  EXPECT_EQ(found.measured, "links, copying, reading, computing");
  EXPECT_GT(found.time, absl::ZeroDuration());
  const MachineCosts& costs = found.costs;
  EXPECT_GT(costs.exchange.in_node.bytes_per_second, 1e6);
  EXPECT_GT(costs.exchange.copy_bytes_per_second, 1e7);
  // Plausible for any machine.
  EXPECT_GT(costs.read_bytes_per_second, 1e7);
  EXPECT_LT(costs.read_bytes_per_second, 1e13);
  EXPECT_GT(costs.flops_per_second, 1e7);
  EXPECT_LT(costs.flops_per_second, 1e15);
  EXPECT_EQ(costs.Rounded().ToText(), costs.ToText());
}

TEST(RankCostsTest, MeasuresNothingIfAllIsConfigured) {
  const ResolvedCosts found = FindOnThreads(2, AllConfigured());
  EXPECT_EQ(found.measured, "none");
  // With all their digits.
  EXPECT_EQ(found.costs.read_bytes_per_second, 1.23456e10);
  EXPECT_EQ(found.costs.ToText(),
            MachineCosts().With(AllConfigured()).ToText());
}

TEST(RankCostsTest, KeepsWhatIsConfiguredAmongWhatIsMeasured) {
  CostOptions configured = AllConfigured();
  configured.across.latency.reset();
  configured.flops_per_second.reset();
  const ResolvedCosts found = FindOnThreads(2, configured);
  EXPECT_EQ(found.measured, "links, computing");
  EXPECT_EQ(found.costs.exchange.in_node.base, absl::Microseconds(5));
  EXPECT_EQ(found.costs.exchange.across.bytes_per_second, 1e9);
  EXPECT_NE(found.costs.exchange.across.base, absl::Microseconds(50));
  EXPECT_EQ(found.costs.exchange.copy_bytes_per_second, 1e10);
}

TEST(RankRatesTest, SeveralThreadsReadAndComputeTogether) {
  ThreadPool threads(3);
  CpuStream stream(threads);
  const auto read = MeasureReadRate(threads);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_GT(*read, 1e7);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    const auto rate = MeasureMultiplyAddRate(dtype, stream);
    ASSERT_TRUE(rate.ok()) << rate.status();
    EXPECT_GT(*rate, 1e7);
  }
}

}  // namespace
}  // namespace moe
