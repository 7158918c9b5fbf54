#include "engine/distributed/bootstrap_info.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/distributed/build_id.h"

namespace moe {
namespace {

BootstrapInfo Info() {
  BootstrapInfo info;
  info.version = "1.2.3";
  info.build_id = "abc";
  info.config_digest = "0011";
  return info;
}

// Four ranks on hosts a, a, b, b.
std::vector<BootstrapRecord> Ranks() {
  std::vector<BootstrapRecord> ranks;
  for (const char* host : {"a", "a", "b", "b"}) {
    ranks.push_back({host, "pid:[1]", Info()});
  }
  return ranks;
}

std::string Check(const std::vector<BootstrapRecord>& ranks) {
  return std::string(
      ValidateBootstrap(ranks, *Topology::FromNodeIds({0, 0, 1, 1})).message());
}

TEST(CheckStartTest, EqualRanksMayStart) {
  std::vector<BootstrapRecord> ranks = Ranks();
  EXPECT_EQ(Check(ranks), "");
  for (BootstrapRecord& rank : ranks) {
    rank.info->expected_world_size = 4;
    rank.info->expected_nodes = 2;
  }
  EXPECT_EQ(Check(ranks), "");
}

TEST(CheckStartTest, RanksOfAMachineShareTheProcessIds) {
  std::vector<BootstrapRecord> ranks = Ranks();
  ranks[2].pid_namespace = ranks[3].pid_namespace = "pid:[2]";
  EXPECT_EQ(Check(ranks), "");
  ranks[1].pid_namespace = "pid:[3]";
  EXPECT_TRUE(absl::StartsWith(
      Check(ranks),
      "rank 0 (host a) and rank 1 (host a) share a machine but have process "
      "ids of their own (pid namespaces pid:[1] and pid:[3])"));
}

TEST(CheckStartTest, OneRanksProblemIsToldWithItsHost) {
  std::vector<BootstrapRecord> ranks = Ranks();
  ranks[2].info = absl::NotFoundError("cannot read \"x\"");
  const absl::Status status = ValidateBootstrap(ranks, Topology::OneNode(4));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "rank 2 (host b): cannot read \"x\"");
}

TEST(CheckStartTest, AProblemOfAllRanksIsToldOnce) {
  std::vector<BootstrapRecord> ranks = Ranks();
  for (BootstrapRecord& rank : ranks) {
    rank.info = absl::InvalidArgumentError("bad field");
  }
  EXPECT_EQ(Check(ranks), "bad field");
}

TEST(CheckStartTest, DifferencesNameRanksHostsAndValues) {
  std::vector<BootstrapRecord> ranks = Ranks();
  ranks[3].info->version = "1.2.4";
  EXPECT_EQ(Check(ranks),
            "the ranks have different versions of the program: rank 0 (host "
            "a): 1.2.3, but rank 3 (host b): 1.2.4; install the same on all "
            "hosts");
  ranks = Ranks();
  ranks[1].info->build_id = "def";
  EXPECT_TRUE(absl::StrContains(Check(ranks), "rank 1 (host a): def"));
  ranks = Ranks();
  ranks[1].info->config_digest = "0012";
  ranks[3].info->config_digest = "0013";
  EXPECT_TRUE(absl::StrContains(
      Check(ranks),
      "but rank 1 (host a): 0012, rank 3 (host b): 0013; give "
      "all ranks the same file"))
      << Check(ranks);
}

TEST(CheckStartTest, OtherNumbersOfRanksOrNodesThanConfigured) {
  std::vector<BootstrapRecord> ranks = Ranks();
  for (BootstrapRecord& rank : ranks) rank.info->expected_world_size = 8;
  EXPECT_EQ(Check(ranks),
            "parallel.world_size is 8, but this job has 4 ranks: start it with "
            "mpirun -np 8");
  ranks = Ranks();
  for (BootstrapRecord& rank : ranks) rank.info->expected_nodes = 4;
  EXPECT_TRUE(absl::StrContains(
      Check(ranks),
      "parallel.nodes is 4, but the ranks run on 2 nodes: 0-1 | "
      "2-3 (host a, b)"))
      << Check(ranks);
}

TEST(BootstrapRecordTest, ComesBackAsItWas) {
  BootstrapRecord record = {"a,b", "pid:[7]", Info()};
  record.info->expected_world_size = 7;
  record.info->expected_nodes = 3;
  record.info->node_shape = NodeShape{2, 4};
  record.info->watchdog = absl::Milliseconds(1500);
  const auto parsed = BootstrapRecord::Parse(record.Serialize());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->host, "a,b");
  ASSERT_TRUE(parsed->info.ok());
  EXPECT_EQ(parsed->info->build_id, "abc");
  EXPECT_EQ(parsed->info->expected_world_size, 7);
  EXPECT_EQ(parsed->info->expected_nodes, 3);
  ASSERT_TRUE(parsed->info->node_shape.has_value());
  EXPECT_EQ(parsed->info->node_shape->ranks_per_node, 4);
  EXPECT_EQ(parsed->info->watchdog, absl::Milliseconds(1500));

  const absl::Status problem = absl::NotFoundError("a, \"b\"\n");
  const auto error =
      BootstrapRecord::Parse(BootstrapRecord{"h", "", problem}.Serialize());
  ASSERT_TRUE(error.ok());
  EXPECT_EQ(error->info.status(), problem);

  EXPECT_FALSE(BootstrapRecord::Parse("").ok());
  EXPECT_FALSE(BootstrapRecord::Parse("61,62").ok());
}

TEST(BuildIdTest, IsTheSameEachTimeAndDigestsTellTextsApart) {
  EXPECT_GE(BuildId().size(), 16u);
  EXPECT_EQ(BuildId(), BuildId());
  EXPECT_EQ(DigestOf("a"), DigestOf("a"));
  EXPECT_NE(DigestOf("a"), DigestOf("b"));
}

}  // namespace
}  // namespace moe
