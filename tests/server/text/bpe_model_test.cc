#include "server/text/bpe_model.h"

#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

// Merges over "abc": by rank ab, bc, abc, aa, aaaa.
BpeModelSpec AbcSpec() {
  BpeModelSpec spec;
  spec.vocab = {{"a", 0},  {"b", 1},   {"c", 2},  {"ab", 3},
                {"bc", 4}, {"abc", 5}, {"aa", 6}, {"aaaa", 7}};
  spec.merges = {{"a", "b"}, {"b", "c"}, {"ab", "c"}, {"a", "a"}, {"aa", "aa"}};
  return spec;
}

std::vector<int32_t> Ids(const BpeModel& model, absl::string_view piece) {
  std::vector<BpeSymbol> symbols;
  EXPECT_TRUE(model.Encode(piece, &symbols).ok());
  std::vector<int32_t> ids;
  size_t num_bytes = 0;
  for (const BpeSymbol& symbol : symbols) {
    ids.push_back(symbol.id);
    num_bytes += symbol.num_bytes;
  }
  EXPECT_EQ(num_bytes, piece.size());
  return ids;
}

// A literal implementation of the definition: scans the whole text for each
// merge.
std::vector<int32_t> NaiveIds(const BpeModelSpec& spec,
                              const std::string& piece) {
  std::vector<std::string> parts;
  for (const char c : piece) parts.push_back(std::string(1, c));
  for (bool merged = true; merged;) {
    merged = false;
    for (const auto& [left, right] : spec.merges) {
      for (size_t i = 0; i + 1 < parts.size() && !merged; ++i) {
        if (parts[i] != left || parts[i + 1] != right) continue;
        parts[i] += right;
        parts.erase(parts.begin() + i + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  std::vector<int32_t> ids;
  for (const std::string& part : parts) {
    for (const auto& [entry, id] : spec.vocab) {
      if (entry == part) ids.push_back(id);
    }
  }
  return ids;
}

TEST(BpeModelTest, LowestRankThenLeftmostGoesFirst) {
  const auto model = BpeModel::Create(AbcSpec());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(Ids(*model, ""), (std::vector<int32_t>{}));
  EXPECT_EQ(Ids(*model, "abc"), (std::vector<int32_t>{5}));
  EXPECT_EQ(Ids(*model, "bcab"), (std::vector<int32_t>{4, 3}));
  EXPECT_EQ(Ids(*model, "aaa"), (std::vector<int32_t>{6, 0}));
  EXPECT_EQ(Ids(*model, "aab"), (std::vector<int32_t>{0, 3}));
  EXPECT_EQ(Ids(*model, "aaaaaaa"), (std::vector<int32_t>{7, 6, 0}));
}

TEST(BpeModelTest, EqualsTheDefinitionOnRandomPieces) {
  std::mt19937 random(1);
  const BpeModelSpec spec = AbcSpec();
  const auto model = BpeModel::Create(spec);
  ASSERT_TRUE(model.ok());
  for (int i = 0; i < 2000; ++i) {
    std::string piece(random() % 40, '\0');
    for (char& c : piece) c = "aaabbc"[random() % 6];
    ASSERT_EQ(Ids(*model, piece), NaiveIds(spec, piece)) << piece;
  }
}

TEST(BpeModelTest, IgnoreMergesTakesWholePieces) {
  BpeModelSpec spec = AbcSpec();
  spec.vocab.emplace_back("cab", 8);  // no merge makes it
  const auto plain = BpeModel::Create(spec);
  spec.ignore_merges = true;
  const auto whole = BpeModel::Create(spec);
  ASSERT_TRUE(plain.ok() && whole.ok());
  EXPECT_EQ(Ids(*plain, "cab"), (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(Ids(*whole, "cab"), (std::vector<int32_t>{8}));
  EXPECT_EQ(Ids(*whole, "cabc"), (std::vector<int32_t>{2, 5}));
}

TEST(BpeModelTest, UnknownBytesBecomeUnkFusedIfAsked) {
  BpeModelSpec spec = AbcSpec();
  spec.vocab.emplace_back("<unk>", 8);
  spec.unk_token = "<unk>";
  const auto single = BpeModel::Create(spec);
  spec.fuse_unk = true;
  const auto fused = BpeModel::Create(spec);
  ASSERT_TRUE(single.ok() && fused.ok());
  EXPECT_EQ(Ids(*single, "axyab"), (std::vector<int32_t>{0, 8, 8, 3}));
  EXPECT_EQ(Ids(*fused, "axyabz"), (std::vector<int32_t>{0, 8, 3, 8}));
}

TEST(BpeModelTest, EntriesOutsideTheAlphabetStandForThemselves) {
  BpeModelSpec spec = AbcSpec();
  spec.vocab.emplace_back("a b", 8);  // a plain space
  spec.vocab.emplace_back(
      "\xC4\xA0"
      "a",
      9);  // the alphabet's space
  const auto model = BpeModel::Create(spec);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->token_bytes()[8], "a b");
  EXPECT_EQ(model->token_bytes()[9], " a");
  EXPECT_EQ(model->FindEntry("a b"), 8);
  EXPECT_EQ(model->FindEntry(" a"), -1);
}

TEST(BpeModelTest, BadSpecsAreRefusedNamingTheEntry) {
  struct Case {
    BpeModelSpec spec;
    std::string named;
  };
  std::vector<Case> cases(6, {AbcSpec(), ""});
  cases[0] = {{}, "vocabulary is empty"};
  cases[1].spec.vocab.emplace_back("x", -1);
  cases[1].named = "vocab[\"x\"] is -1";
  cases[2].spec.vocab.emplace_back("x", 1 << 24);
  cases[2].named = "vocab[\"x\"]";
  cases[3].spec.vocab.emplace_back("x", 5);
  cases[3].named = "vocab[\"x\"] is 5";
  cases[4].spec.merges.emplace_back("c", "a");
  cases[4].named = "merges[5] is \"c\" + \"a\"";
  cases[5].spec.unk_token = "<unk>";
  cases[5].named = "unk_token";
  for (const Case& bad : cases) {
    const absl::Status status = BpeModel::Create(bad.spec).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(bad.named), absl::string_view::npos)
        << status << " should name " << bad.named;
  }
}

}  // namespace
}  // namespace moe
