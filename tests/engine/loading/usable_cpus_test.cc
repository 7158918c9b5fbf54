#include "engine/loading/usable_cpus.h"

#include <algorithm>
#include <limits>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using ::testing::ElementsAre;

TEST(UsableCpusTest, BindingLastsAsLongAsItsScope) {
  const std::vector<int32_t> all = UsableCpus();
  ASSERT_FALSE(all.empty());
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  {
    const ScopedCpuBinding binding({all.back()});
    EXPECT_THAT(UsableCpus(), ElementsAre(all.back()));
    std::vector<int32_t> inherited;
    std::thread([&] { inherited = UsableCpus(); }).join();
    EXPECT_THAT(inherited, ElementsAre(all.back()));
  }
  EXPECT_EQ(UsableCpus(), all);
}

TEST(UsableCpusTest, ABindingThatCannotBeChangesNothing) {
  const std::vector<int32_t> all = UsableCpus();
  {
    const ScopedCpuBinding binding({-3, 1 << 20});
    EXPECT_EQ(UsableCpus(), all);
  }
  EXPECT_EQ(UsableCpus(), all);
}

TEST(UsableCpusTest, ThreadsKeepToCpusAndQuota) {
  const double none = std::numeric_limits<double>::infinity();
  EXPECT_EQ(FairThreads(8, 1, none, 1), 8);
  EXPECT_EQ(FairThreads(8, 3, none, 3), 2);
  EXPECT_EQ(FairThreads(2, 4, none, 4), 1);
  EXPECT_EQ(FairThreads(8, 1, 0.5, 1), 1);
  EXPECT_EQ(FairThreads(8, 1, 2.5, 1), 3);
  EXPECT_EQ(FairThreads(8, 2, 3, 2), 1);
  EXPECT_EQ(FairThreads(8, 2, 3, 1), 3);  // each has a quota of its own
  EXPECT_EQ(FairThreads(8, 4, 2, 4), 1);
}

TEST(UsableCpusTest, RanksShareWhatSeveralMayUse) {
  const std::vector<std::vector<int32_t>> unbound = {{0, 1}, {0, 1}, {0, 1}};
  for (int r = 0; r < 3; ++r) {
    const CpuShare share = ShareOfCpus(unbound, r);
    EXPECT_EQ(share.num_ranks, 3);
    EXPECT_EQ(share.index, r);
  }
  // Bound to a socket each.
  const std::vector<std::vector<int32_t>> sockets = {
      {0, 1}, {2, 3}, {0, 1}, {2, 3}};
  EXPECT_EQ(ShareOfCpus(sockets, 3).num_ranks, 2);
  EXPECT_EQ(ShareOfCpus(sockets, 3).index, 1);
  // Bound to a core each.
  EXPECT_EQ(ShareOfCpus({{0}, {1}}, 1).num_ranks, 1);
  EXPECT_EQ(ShareOfCpus({{0}, {1}}, 1).index, 0);
  EXPECT_EQ(ShareOfCpus({{}}, 0).num_ranks, 1);
}

}  // namespace
}  // namespace moe
