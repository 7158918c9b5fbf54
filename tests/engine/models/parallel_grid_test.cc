// Every layout of ranks gives the answers of one rank: the same bits where only
// experts, exchanges and shares differ, and where tensor or slice degree do,
// the same within rounding, and the same bits as any other layout of these
// degrees.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "tests/engine/models/parallel_harness.h"
#include "tests/fakes/random_checkpoint.h"

namespace moe {
namespace {

// Of the largest logit: sums are rounded in another order.
constexpr float kRelativeTolerance = 2e-6f;

struct ModelKind {
  std::vector<int64_t> experts;  // per layer
  int64_t top_k = 1;
  ResidualMoeKind residual = ResidualMoeKind::kNone;

  std::string Name() const {
    return absl::StrCat("e", absl::StrJoin(experts, "_"), "_top", top_k, "_r",
                        static_cast<int>(residual));
  }
};

struct Case {
  ModelKind model;
  RankLayout layout;

  std::string Name() const { return model.Name() + "_" + layout.Name(); }
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.Name(); }

UniformModelConfig ConfigOf(const ModelKind& kind) {
  UniformModelConfig config = SmallPrMoeConfig();
  config.num_layers = static_cast<int64_t>(kind.experts.size());
  config.experts_per_layer = kind.experts;
  config.top_k = kind.top_k;
  config.residual_moe = kind.residual;
  if (kind.residual == ResidualMoeKind::kNone) config.family = "gpt_moe";
  return config;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

size_t ArgMax(const float* row, int64_t n) {
  return std::max_element(row, row + n) - row;
}

void ExpectClose(const std::vector<float>& got, const std::vector<float>& want,
                 int64_t vocab) {
  ASSERT_EQ(got.size(), want.size());
  float largest = 0, difference = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::isfinite(got[i]));
    largest = std::max(largest, std::abs(want[i]));
    difference = std::max(difference, std::abs(got[i] - want[i]));
  }
  EXPECT_LE(difference, kRelativeTolerance * largest);
  for (size_t row = 0; row < got.size(); row += vocab) {
    EXPECT_EQ(ArgMax(got.data() + row, vocab),
              ArgMax(want.data() + row, vocab));
  }
}

std::vector<std::optional<ExchangeKind>> KindsOf(const RankLayout& layout) {
  std::vector<std::optional<ExchangeKind>> kinds = {std::nullopt};
  int widest = 1;
  bool replicas = false;
  for (size_t i = 0; i < layout.expert_degrees.size(); ++i) {
    const int ep = layout.expert_degrees[i];
    const int es = layout.slice_degrees.empty() ? 1 : layout.slice_degrees[i];
    widest = std::max(widest, ep);
    replicas |= ep > 1 && layout.tensor > es;
  }
  if (widest == 1) return kinds;
  kinds.push_back(ExchangeKind::kFlat);
  kinds.push_back(ExchangeKind::kReplicated);
  if (replicas) kinds.push_back(ExchangeKind::kCoordinated);
  if (layout.nodes.has_value()) kinds.push_back(ExchangeKind::kHierarchical);
  return kinds;
}

// The narrowest layout with the tensor and slice degrees of `layout`: what its
// bits must be.
RankLayout Narrowest(const RankLayout& layout) {
  RankLayout narrow;
  narrow.tensor = narrow.world = layout.tensor;
  for (int es : layout.slice_degrees) narrow.world = std::max(narrow.world, es);
  narrow.slice_degrees = layout.slice_degrees;
  narrow.expert_degrees.assign(layout.expert_degrees.size(), 1);
  return narrow;
}

class ParallelGridTest : public testing::TestWithParam<Case> {};

TEST_P(ParallelGridTest, LogitsAreThoseOfOneRank) {
  const auto& [kind, layout] = GetParam();
  const RandomCheckpoint checkpoint(ConfigOf(kind));
  const int64_t vocab = checkpoint.config().vocab_size;
  const auto sequences = SomeSequences(vocab);
  RankLayout one;
  one.expert_degrees.assign(layout.expert_degrees.size(), 1);
  const auto single = RunParallel(checkpoint, sequences, {one, {}});
  const RankLayout narrow = Narrowest(layout);
  const auto want = narrow.world == 1
                        ? single
                        : RunParallel(checkpoint, sequences, {narrow, {}});
  int64_t rows = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    rows += static_cast<int64_t>(sequences[s].size());
    ExpectClose(want.logits[s], single.logits[s], vocab);
  }

  for (const auto& exchange : KindsOf(layout)) {
    for (const Owners owners : {Owners::kSpread, Owners::kLast}) {
      if (owners == Owners::kLast && layout.data_degree() == 1) continue;
      SCOPED_TRACE(absl::StrCat(
          exchange.has_value() ? ExchangeKindName(*exchange) : "auto",
          owners == Owners::kLast ? ", all sequences on one data rank" : ""));
      const ParallelResult got =
          RunParallel(checkpoint, sequences, {layout, exchange, owners});
      for (size_t s = 0; s < sequences.size(); ++s) {
        EXPECT_TRUE(SameBits(got.logits[s], want.logits[s]))
            << "sequence " << s;
      }
      // Every row was gated once in every layer.
      const auto load = SummarizeExpertLoad(got.loads, layout.tensor);
      ASSERT_TRUE(load.ok()) << load.status();
      for (const MoeLayerLoadSummary& layer : *load) {
        int64_t gated = 0;
        for (int64_t r : layer.rows_by_expert) gated += r;
        EXPECT_EQ(gated, rows * kind.top_k) << "layer " << layer.layer;
      }
    }
  }
}

// 4, 8 and 16 experts, and a dense layer between.
const ModelKind kPyramid = {{4, 0, 8, 16}, 1, ResidualMoeKind::kB2};
const ModelKind kPyramidTop2 = {{4, 0, 8, 16}, 2, ResidualMoeKind::kNone};
const ModelKind kPyramidA = {{4, 0, 8, 16}, 1, ResidualMoeKind::kA};
const ModelKind kPyramidB1 = {{4, 0, 8, 16}, 2, ResidualMoeKind::kB1};
const ModelKind kOdd = {{0, 3, 5, 7}, 2, ResidualMoeKind::kB2};
const ModelKind kOddTop1 = {{0, 3, 5, 7}, 1, ResidualMoeKind::kNone};

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  return info.param.Name();
}

INSTANTIATE_TEST_SUITE_P(
    Experts, ParallelGridTest,
    testing::Values(
        Case{kPyramid, {1, 1, {1, 1, 1}}}, Case{kPyramid, {2, 1, {2, 2, 2}}},
        Case{kPyramidTop2, {2, 1, {1, 2, 2}}},
        Case{kPyramid, {3, 1, {3, 3, 3}}}, Case{kOdd, {3, 1, {3, 3, 3}}},
        Case{kOddTop1, {3, 1, {1, 3, 3}}}, Case{kOdd, {4, 1, {4, 4, 4}}},
        Case{kOddTop1, {4, 1, {4, 4, 2}, {}, NodeShape{2, 2}}},
        Case{kPyramid, {4, 1, {4, 4, 4}, {}, NodeShape{2, 2}}},
        Case{kPyramidB1, {4, 1, {2, 4, 4}}},
        Case{kOdd, {6, 1, {6, 6, 6}, {}, NodeShape{2, 3}}},
        Case{kPyramidA, {6, 1, {3, 6, 2}}},
        Case{kPyramid, {8, 1, {4, 8, 8}, {}, NodeShape{2, 4}}},
        Case{kPyramidTop2, {8, 1, {4, 8, 8}, {}, NodeShape{4, 2}}},
        Case{kPyramidA, {8, 1, {8, 8, 8}}}, Case{kOdd, {8, 1, {8, 8, 8}}},
        Case{kPyramid, {16, 1, {4, 8, 16}, {}, NodeShape{4, 4}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    TensorRanks, ParallelGridTest,
    testing::Values(
        Case{kPyramid, {2, 2, {2, 2, 2}}}, Case{kPyramidB1, {2, 2, {1, 1, 2}}},
        Case{kPyramidTop2, {4, 2, {4, 4, 4}}}, Case{kOdd, {4, 2, {2, 4, 4}}},
        Case{kPyramidA, {4, 4, {4, 2, 1}}}, Case{kPyramid, {4, 4, {4, 4, 4}}},
        Case{kOdd, {6, 2, {6, 6, 2}}},
        Case{kPyramid, {8, 2, {4, 8, 8}, {}, std::nullopt}},
        Case{kPyramidTop2, {8, 4, {4, 8, 8}}}, Case{kOdd, {8, 4, {8, 2, 1}}},
        Case{kPyramid, {16, 2, {4, 8, 16}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Slices, ParallelGridTest,
    testing::Values(Case{kPyramid, {2, 1, {1, 1, 1}, {2, 2, 2}}},
                    Case{kPyramidTop2, {2, 2, {1, 1, 1}, {2, 2, 2}}},
                    Case{kPyramid, {2, 2, {2, 1, 2}, {1, 2, 1}}},
                    Case{kOdd, {4, 1, {2, 4, 1}, {2, 1, 2}}},
                    Case{kPyramid, {4, 2, {2, 2, 2}, {2, 2, 2}}},
                    Case{kPyramidTop2, {4, 4, {2, 1, 2}, {2, 4, 1}}},
                    Case{kOddTop1, {6, 1, {3, 6, 3}, {2, 1, 2}}},
                    Case{kPyramid,
                         {8, 1, {4, 4, 8}, {2, 2, 1}, NodeShape{2, 4}}},
                    Case{kPyramidB1, {8, 2, {4, 4, 8}, {2, 2, 1}}},
                    Case{kPyramidTop2, {8, 2, {2, 4, 8}, {4, 2, 1}}},
                    Case{kOdd, {8, 4, {4, 4, 2}, {2, 2, 4}}},
                    Case{kPyramid, {8, 1, {1, 2, 4}, {8, 4, 2}}}),
    NameOf);

// A token whose channels do not add up in 32 bits, so that its norm is NaN,
// spoils its own sequence alone.
TEST(ParallelGridNanTest, OtherSequencesKeepTheirBits) {
  UniformModelConfig config = ConfigOf(kPyramid);
  config.tied_embeddings = false;
  const RandomCheckpoint clean(config);
  RandomCheckpoint spoilt(config);
  auto sequences = SomeSequences(config.vocab_size - 1);
  const int32_t token = static_cast<int32_t>(config.vocab_size) - 1;
  spoilt.Damage("embedding.weight", [&](HostWeight& weight) {
    float* row = weight.owned.ptr<float>() + token * config.hidden_size;
    std::fill(row, row + config.hidden_size, 3e38f);
  });
  const auto want =
      RunParallel(clean, sequences, {{1, 1, {1, 1, 1}}, std::nullopt});
  const auto want_tensor =
      RunParallel(clean, sequences, {{2, 2, {1, 1, 1}}, std::nullopt});
  sequences[2][4] = token;
  for (const ParallelRun& run :
       std::vector<ParallelRun>{{{1, 1, {1, 1, 1}}, std::nullopt},
                                {{4, 1, {4, 4, 2}}, ExchangeKind::kFlat},
                                {{4, 1, {4, 4, 2}}, ExchangeKind::kReplicated},
                                {{4, 2, {4, 4, 2}}, ExchangeKind::kCoordinated},
                                {{4, 1, {4, 4, 4}, {}, NodeShape{2, 2}},
                                 ExchangeKind::kHierarchical}}) {
    SCOPED_TRACE(run.layout.Name());
    const auto got = RunParallel(spoilt, sequences, run);
    const auto& clean_logits =
        run.layout.tensor == 1 ? want.logits : want_tensor.logits;
    const size_t spoilt_from = static_cast<size_t>(4 * config.vocab_size);
    for (size_t s = 0; s < sequences.size(); ++s) {
      for (size_t i = 0; i < got.logits[s].size(); ++i) {
        if (s == 2 && i >= spoilt_from) {
          ASSERT_TRUE(std::isnan(got.logits[s][i]));
        } else {
          ASSERT_EQ(got.logits[s][i], clean_logits[s][i])
              << "sequence " << s << ", logit " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace moe
