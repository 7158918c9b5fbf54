#include "kernels/ops/moe_gating.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/core/cpu_stream.h"
#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

struct Gating {
  Gating(int64_t rows, int64_t experts, int64_t top_k)
      : ids(MakeTensor({rows, top_k}, DType::kI32)),
        weights(MakeTensor({rows, top_k})),
        offsets(MakeTensor({experts + 1}, DType::kI32)),
        row_of_slot(MakeTensor({rows * top_k}, DType::kI32)),
        slot_of(MakeTensor({rows, top_k}, DType::kI32)) {}
  MoeGatingArgs Args(const Tensor& logits, bool normalize) {
    return {logits.view(),  normalize,          ids.view(),    weights.view(),
            offsets.view(), row_of_slot.view(), slot_of.view()};
  }
  Tensor ids, weights, offsets, row_of_slot, slot_of;
};

class MoeGatingTest : public VariantTest {};

TEST_P(MoeGatingTest, ChoosesTheLargestProbabilitiesOfAllExperts) {
  for (int64_t experts : {1, 4, 37, 128}) {
    for (int64_t top_k : {1, 2, 4}) {
      if (top_k > experts) continue;
      constexpr int64_t kRows = 29;
      const Tensor logits = RandomTensor({kRows, experts}, 3, 5.0f);
      for (bool normalize : {false, true}) {
        Gating g(kRows, experts, top_k);
        ASSERT_TRUE(
            OnDevice(MoeGating, g.Args(logits, normalize), stream_).ok());
        for (int64_t r = 0; r < kRows; ++r) {
          const float* x = logits.ptr<float>() + r * experts;
          std::vector<int> order(experts);
          std::iota(order.begin(), order.end(), 0);
          std::stable_sort(order.begin(), order.end(),
                           [&](int a, int b) { return x[a] > x[b]; });
          double sum = 0, chosen = 0;
          for (int64_t e = 0; e < experts; ++e) sum += std::exp(double(x[e]));
          for (int64_t j = 0; j < top_k; ++j) {
            chosen += std::exp(double(x[order[j]])) / sum;
          }
          for (int64_t j = 0; j < top_k; ++j) {
            EXPECT_EQ(g.ids.ptr<int32_t>()[r * top_k + j], order[j]);
            const double p = std::exp(double(x[order[j]])) / sum;
            EXPECT_NEAR(g.weights.ptr<float>()[r * top_k + j],
                        normalize ? p / chosen : p, 1e-6);
          }
        }
      }
    }
  }
}

TEST_P(MoeGatingTest, TheTableSortsSlotsByExpertStably) {
  constexpr int64_t kRows = 50, kExperts = 7, kTopK = 2;
  const Tensor logits = RandomTensor({kRows, kExperts}, 9);
  // An expert that no row chooses.
  for (int64_t r = 0; r < kRows; ++r) {
    logits.ptr<float>()[r * kExperts + 3] = -100.0f;
  }
  Gating g(kRows, kExperts, kTopK);
  ASSERT_TRUE(OnDevice(MoeGating, g.Args(logits, true), stream_).ok());
  const int32_t* offsets = g.offsets.ptr<int32_t>();
  EXPECT_EQ(offsets[0], 0);
  EXPECT_EQ(offsets[kExperts], kRows * kTopK);
  EXPECT_EQ(offsets[3], offsets[4]);
  for (int64_t e = 0; e < kExperts; ++e) {
    for (int32_t s = offsets[e]; s < offsets[e + 1]; ++s) {
      const int32_t row = g.row_of_slot.ptr<int32_t>()[s];
      if (s > offsets[e]) {
        EXPECT_GT(row, g.row_of_slot.ptr<int32_t>()[s - 1]);
      }
      int found = 0;
      for (int64_t j = 0; j < kTopK; ++j) {
        if (g.slot_of.ptr<int32_t>()[row * kTopK + j] == s) {
          EXPECT_EQ(g.ids.ptr<int32_t>()[row * kTopK + j], e);
          ++found;
        }
      }
      EXPECT_EQ(found, 1);
    }
  }
}

TEST_P(MoeGatingTest, EqualLogitsGoToTheLowestExperts) {
  Tensor logits = MakeTensor({1, 5});
  Gating g(1, 5, 3);
  ASSERT_TRUE(OnDevice(MoeGating, g.Args(logits, false), stream_).ok());
  for (int j = 0; j < 3; ++j) {
    EXPECT_EQ(g.ids.ptr<int32_t>()[j], j);
    EXPECT_FLOAT_EQ(g.weights.ptr<float>()[j], 0.2f);
  }
}

TEST_P(MoeGatingTest, ARowHasTheSameBitsInAnyBatchAndOnAnyThreads) {
  constexpr int64_t kRows = 200, kExperts = 70;
  const Tensor logits = RandomTensor({kRows, kExperts}, 21, 3.0f);
  Gating base(kRows, kExperts, 2);
  ASSERT_TRUE(OnDevice(MoeGating, base.Args(logits, true), stream_).ok());
  ThreadPool pool(3);
  CpuStream stream(pool);
  Gating threaded(kRows, kExperts, 2);
  ASSERT_TRUE(OnDevice(MoeGating, threaded.Args(logits, true), stream).ok());
  EXPECT_TRUE(SameBits(base.weights.ptr<float>(), threaded.weights.ptr<float>(),
                       kRows * 2));
  for (int64_t r = 0; r < kRows; ++r) {
    Gating g(1, kExperts, 2);
    MoeGatingArgs args = g.Args(logits, true);
    args.logits = logits.view().Rows(r, r + 1);
    ASSERT_TRUE(OnDevice(MoeGating, args, stream_).ok());
    EXPECT_TRUE(
        SameBits(g.weights.ptr<float>(), base.weights.ptr<float>() + 2 * r, 2));
  }
}

TEST_P(MoeGatingTest, ARowThatIsNotFiniteSpoilsNoOther) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr int64_t kRows = 9, kExperts = 4, kTopK = 2;
  Tensor logits = RandomTensor({kRows, kExperts}, 1);
  Gating good(kRows, kExperts, kTopK);
  ASSERT_TRUE(OnDevice(MoeGating, good.Args(logits, true), stream_).ok());
  float* x = logits.ptr<float>();
  x[6 * kExperts + 1] = std::numeric_limits<float>::quiet_NaN();
  x[5 * kExperts] = kInfinity;
  std::fill_n(x + 2 * kExperts, kExperts, -kInfinity);
  Gating g(kRows, kExperts, kTopK);
  ASSERT_TRUE(OnDevice(MoeGating, g.Args(logits, true), stream_).ok());
  for (int64_t r = 0; r < kRows; ++r) {
    const bool bad = r == 2 || r == 5 || r == 6;
    for (int64_t j = r * kTopK; j < (r + 1) * kTopK; ++j) {
      const float weight = g.weights.ptr<float>()[j];
      EXPECT_EQ(std::isnan(weight), bad) << r;
      EXPECT_EQ(g.ids.ptr<int32_t>()[j],
                bad ? j - r * kTopK : good.ids.ptr<int32_t>()[j]);
      if (!bad) {
        EXPECT_EQ(weight, good.weights.ptr<float>()[j]);
      }
      const int32_t slot = g.slot_of.ptr<int32_t>()[j];
      EXPECT_EQ(g.row_of_slot.ptr<int32_t>()[slot], r);
    }
  }
  EXPECT_EQ(g.offsets.ptr<int32_t>()[kExperts], kRows * kTopK);
}

INSTANTIATE_ON_ALL_VARIANTS(MoeGatingTest);

}  // namespace
}  // namespace moe
