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

BootstrapInfo Facts() {
  BootstrapInfo facts;
  facts.version = "1.2.3";
  facts.build_id = "abc";
  facts.config_digest = "0011";
  return facts;
}

// Four ranks on hosts a, a, b, b.
std::vector<StartRecord> Ranks() {
  std::vector<StartRecord> ranks;
  for (const char* host : {"a", "a", "b", "b"}) {
    ranks.push_back({host, Facts()});
  }
  return ranks;
}

std::string Check(const std::vector<StartRecord>& ranks) {
  return std::string(
      ValidateBootstrap(ranks, *Topology::FromNodeIds({0, 0, 1, 1})).message());
}

TEST(CheckStartTest, EqualRanksMayStart) {
  std::vector<StartRecord> ranks = Ranks();
  EXPECT_EQ(Check(ranks), "");
  for (StartRecord& rank : ranks) {
    rank.facts->expected_world_size = 4;
    rank.facts->expected_nodes = 2;
  }
  EXPECT_EQ(Check(ranks), "");
}

TEST(CheckStartTest, OneRanksProblemIsToldWithItsHost) {
  std::vector<StartRecord> ranks = Ranks();
  ranks[2].facts = absl::NotFoundError("cannot read \"x\"");
  const absl::Status status = ValidateBootstrap(ranks, Topology::OneNode(4));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "rank 2 (host b): cannot read \"x\"");
}

TEST(CheckStartTest, AProblemOfAllRanksIsToldOnce) {
  std::vector<StartRecord> ranks = Ranks();
  for (StartRecord& rank : ranks) {
    rank.facts = absl::InvalidArgumentError("bad field");
  }
  EXPECT_EQ(Check(ranks), "bad field");
}

TEST(CheckStartTest, DifferencesNameRanksHostsAndValues) {
  std::vector<StartRecord> ranks = Ranks();
  ranks[3].facts->version = "1.2.4";
  EXPECT_EQ(Check(ranks),
            "the ranks have different versions of the program: rank 0 (host "
            "a): 1.2.3, but rank 3 (host b): 1.2.4; install the same on all "
            "hosts");
  ranks = Ranks();
  ranks[1].facts->build_id = "def";
  EXPECT_TRUE(absl::StrContains(Check(ranks), "rank 1 (host a): def"));
  ranks = Ranks();
  ranks[1].facts->config_digest = "0012";
  ranks[3].facts->config_digest = "0013";
  EXPECT_TRUE(absl::StrContains(
      Check(ranks),
      "but rank 1 (host a): 0012, rank 3 (host b): 0013; give "
      "all ranks the same file"))
      << Check(ranks);
}

TEST(CheckStartTest, OtherNumbersOfRanksOrNodesThanConfigured) {
  std::vector<StartRecord> ranks = Ranks();
  for (StartRecord& rank : ranks) rank.facts->expected_world_size = 8;
  EXPECT_EQ(Check(ranks),
            "parallel.world_size is 8, but this job has 4 ranks: start it with "
            "mpirun -np 8");
  ranks = Ranks();
  for (StartRecord& rank : ranks) rank.facts->expected_nodes = 4;
  EXPECT_TRUE(absl::StrContains(
      Check(ranks),
      "parallel.nodes is 4, but the ranks run on 2 nodes: 0-1 | "
      "2-3 (host a, b)"))
      << Check(ranks);
}

TEST(StartRecordTest, ComesBackAsItWas) {
  StartRecord record = {"a,b", Facts()};
  record.facts->expected_world_size = 7;
  record.facts->expected_nodes = 3;
  record.facts->node_shape = NodeShape{2, 4};
  record.facts->watchdog = absl::Milliseconds(1500);
  const auto facts = StartRecord::Parse(record.Serialize());
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->host, "a,b");
  ASSERT_TRUE(facts->facts.ok());
  EXPECT_EQ(facts->facts->build_id, "abc");
  EXPECT_EQ(facts->facts->expected_world_size, 7);
  EXPECT_EQ(facts->facts->expected_nodes, 3);
  ASSERT_TRUE(facts->facts->node_shape.has_value());
  EXPECT_EQ(facts->facts->node_shape->ranks_per_node, 4);
  EXPECT_EQ(facts->facts->watchdog, absl::Milliseconds(1500));

  const absl::Status problem = absl::NotFoundError("a, \"b\"\n");
  const auto error = StartRecord::Parse(StartRecord{"h", problem}.Serialize());
  ASSERT_TRUE(error.ok());
  EXPECT_EQ(error->facts.status(), problem);

  EXPECT_FALSE(StartRecord::Parse("").ok());
  EXPECT_FALSE(StartRecord::Parse("61,62").ok());
}

TEST(BuildIdTest, IsTheSameEachTimeAndDigestsTellTextsApart) {
  EXPECT_GE(BuildId().size(), 16u);
  EXPECT_EQ(BuildId(), BuildId());
  EXPECT_EQ(DigestOf("a"), DigestOf("a"));
  EXPECT_NE(DigestOf("a"), DigestOf("b"));
}

}  // namespace
}  // namespace moe
