#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/config/parameter_count.h"
#include "engine/models/load_model.h"
#include "gtest/gtest.h"
#include "tests/fakes/random_checkpoint.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

class LoadModelTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Model>> Load(const Checkpoint& checkpoint,
                                              ModelOptions options = {}) {
    return LoadModel(checkpoint, options, *stream_,
                     [this](int64_t done, int64_t total) {
                       progress_.push_back({done, total});
                     });
  }

  ThreadPool pool_{2};
  std::unique_ptr<Stream> stream_ = *TestStream()(pool_);
  std::vector<std::pair<int64_t, int64_t>> progress_;
};

TEST_F(LoadModelTest, ReportsProgressUpToTheTotal) {
  const RandomCheckpoint checkpoint(SmallPrMoeConfig());
  const auto model = Load(checkpoint);
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_GT(progress_.size(), 10u);
  for (size_t i = 1; i < progress_.size(); ++i) {
    EXPECT_GE(progress_[i].first, progress_[i - 1].first);
  }
  EXPECT_EQ(progress_.back().first, progress_.back().second);
  EXPECT_EQ(progress_.back().second,
            2 * CountParameters(checkpoint.config()).total);
}

TEST_F(LoadModelTest, NamesAMissingTensor) {
  RandomCheckpoint checkpoint(SmallPrMoeConfig());
  checkpoint.Remove("layers.3.experts.2.down.weight");
  const absl::Status status = Load(checkpoint).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(
      absl::StrContains(status.message(), "layers.3.experts.2.down.weight"))
      << status;
}

TEST_F(LoadModelTest, NamesATensorOfTheWrongShapeOrType) {
  RandomCheckpoint checkpoint(SmallPrMoeConfig());
  checkpoint.Damage("layers.1.moe.gate.weight", [](HostWeight& weight) {
    weight.view = weight.view.Rows(0, 2);
  });
  const absl::Status shape = Load(checkpoint).status();
  EXPECT_EQ(shape.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(shape.message(),
            "tensor layers.1.moe.gate.weight is f32 [2, 48], but the model's "
            "configuration asks for [3, 48]");
  checkpoint.Damage("layers.1.moe.gate.weight", [](HostWeight& weight) {
    weight.view.dtype = DType::kI32;
  });
  const absl::Status type = Load(checkpoint).status();
  EXPECT_EQ(type.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(type.message(),
            "tensor layers.1.moe.gate.weight is i32 [3, 48], must be f32, f16 "
            "or bf16");
}

TEST_F(LoadModelTest, RefusesValuesThatAreNotFinite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  // One of each kind that is read: matrices, tables, vectors.
  for (const char* name :
       {"embedding.weight", "position_embedding.weight",
        "layers.0.attention_norm.weight", "layers.1.attention.qkv.bias",
        "layers.2.attention.out.weight", "layers.0.mlp.down.bias",
        "layers.1.moe.gate.weight", "layers.1.moe.coefficient.weight",
        "layers.1.moe.coefficient.bias", "layers.3.experts.4.up.weight",
        "final_norm.bias"}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
      RandomCheckpoint checkpoint(SmallPrMoeConfig(), dtype);
      int64_t count = 0;
      checkpoint.Damage(name, [&](HostWeight& weight) {
        count = weight.view.num_elements();
        // The first and the last but one; odd sizes have a rest of both kinds.
        for (const auto& [at, value] :
             {std::pair<int64_t, float>{0, -infinity},
              {std::max<int64_t>(1, count - 2), nan}}) {
          if (dtype == DType::kF32) {
            weight.owned.ptr<float>()[at] = value;
          } else {
            weight.owned.ptr<uint16_t>()[at] =
                dtype == DType::kF16 ? FloatToHalf(value) : FloatToBf16(value);
          }
        }
      });
      const absl::Status status = Load(checkpoint).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_EQ(status.message(),
                absl::StrCat("tensor ", name, ": 2 of the ", count,
                             " values read are NaN or infinite: the file is "
                             "damaged, or training diverged before it was "
                             "saved; use an earlier checkpoint"));
    }
  }
}

TEST_F(LoadModelTest, RefusesValuesThatTheTypeInMemoryDoesNotHold) {
  struct Case {
    float value;
    DType file, memory;
    bool fits;
  };
  for (const Case& c :
       std::vector<Case>{{65519.0f, DType::kF32, DType::kF16, true},
                         {-65520.0f, DType::kF32, DType::kF16, false},
                         {65504.0f, DType::kF16, DType::kF16, true},
                         {65280.0f, DType::kBf16, DType::kF16, true},
                         {65536.0f, DType::kBf16, DType::kF16, false},
                         {3.39e38f, DType::kF32, DType::kBf16, true},
                         {3.4e38f, DType::kF32, DType::kBf16, false},
                         {3.4e38f, DType::kF32, DType::kF32, true},
                         {1e-44f, DType::kF32, DType::kF16, true}}) {
    SCOPED_TRACE(c.value);
    RandomCheckpoint checkpoint(SmallPrMoeConfig(), c.file);
    checkpoint.Damage("layers.0.mlp.up.weight", [&](HostWeight& weight) {
      if (c.file == DType::kF32) {
        weight.owned.ptr<float>()[77] = c.value;
      } else {
        weight.owned.ptr<uint16_t>()[77] =
            c.file == DType::kF16 ? FloatToHalf(c.value) : FloatToBf16(c.value);
      }
    });
    const absl::Status status =
        Load(checkpoint, {.weight_dtype = c.memory}).status();
    if (c.fits) {
      EXPECT_TRUE(status.ok()) << status;
      continue;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(
        status.message(),
        absl::StrCat("tensor layers.0.mlp.up.weight: 1 of the 4608 values read "
                     "are beyond the largest of ",
                     DTypeName(c.memory))))
        << status;
  }
}

TEST_F(LoadModelTest, RefusesUnknownFamiliesAndOptions) {
  UniformModelConfig config = SmallPrMoeConfig();
  config.family = "bert";
  EXPECT_EQ(Load(RandomCheckpoint(config)).status().message(),
            "model family is \"bert\", must be one of gpt, gpt_moe, pr_moe");
  config.family = "gpt_moe";
  EXPECT_EQ(Load(RandomCheckpoint(config)).status().message(),
            "model family \"gpt_moe\" means experts without a residual MLP, "
            "which the model's configuration is not");
  const RandomCheckpoint good(SmallPrMoeConfig());
  EXPECT_EQ(Load(good, {.weight_dtype = DType::kI8}).status().message(),
            "weight_dtype is i8, must be f32, f16 or bf16");
  EXPECT_EQ(Load(good, {.max_rows = 0}).status().message(),
            "max_rows is 0, must be at least 1");
}

class ForwardTest : public LoadModelTest {
 protected:
  ForwardTest() {
    RandomCheckpoint checkpoint(SmallPrMoeConfig());
    checkpoint.Damage("embedding.weight", [](HostWeight& weight) {
      // Token 100 poisons its row: the sum of its channels overflows.
      float* row = weight.owned.ptr<float>() + 100 * 48;
      std::fill(row, row + 48, 3e38f);
    });
    model_ = *Load(checkpoint, {.max_rows = 8});
    batch_.step_id = 9;
    batch_.token_ids = {1, 2, 3};
    batch_.positions = {0, 1, 0};
    batch_.sequences.resize(2);
    batch_.sequences[0] = {70, 0, 2, 0, false, {4}};
    batch_.sequences[1] = {71, 2, 1, 0, false, {5}};
    batch_.logit_rows = {1, 2};
  }
  absl::Status Run() {
    return model_->Forward(batch_, cache_,
                           MakeView(logits_.data(), DType::kF32, {2, 101}),
                           nullptr);
  }

  std::unique_ptr<Model> model_;
  KvCache cache_ = *KvCache::Create(TestBackend(), SmallPrMoeConfig(), 8, 16);
  std::vector<float> logits_ = std::vector<float>(2 * 101);
  Batch batch_;
};

TEST_F(ForwardTest, RunsAConsistentBatchAndNoneOfItsLogitsToo) {
  EXPECT_TRUE(Run().ok());
  batch_.logit_rows.clear();
  EXPECT_TRUE(model_->Forward(batch_, cache_, {}, nullptr).ok());
}

TEST_F(ForwardTest, APoisonedRowSpoilsNoOther) {
  ASSERT_TRUE(Run().ok());
  const std::vector<float> good = logits_;
  batch_.token_ids[2] = 100;
  ASSERT_TRUE(Run().ok());
  // (By bits: the logit of token 100, whose embedding it is, may be NaN
  // always.)
  EXPECT_EQ(std::memcmp(logits_.data(), good.data(), 101 * sizeof(float)), 0);
  for (int i = 101; i < 2 * 101; ++i) EXPECT_TRUE(std::isnan(logits_[i])) << i;
  // The next user of the poisoned block sees nothing of it.
  batch_.token_ids[2] = 3;
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(
      std::memcmp(logits_.data(), good.data(), good.size() * sizeof(float)), 0);
}

TEST_F(ForwardTest, NamesWhatIsWrongWithABatch) {
  const Batch good = batch_;
  const auto expect = [&](const std::string& message) {
    const absl::Status status = Run();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "step 9: " + message);
    batch_ = good;
  };
  batch_.token_ids[1] = 101;
  expect("token id 101 of row 1 is outside [0, 101)");
  batch_.positions[1] = 5;
  expect("row 1 of sequence 70 has position 5, must be 1");
  batch_.sequences[1].block_ids = {8};
  expect("block 8 of sequence 71 is outside [0, 8)");
  batch_.sequences[1].block_ids = {};
  expect("sequence 71 of 1 tokens has 0 blocks of 16, needs 1");
  batch_.sequences[1].start_position = 256;
  batch_.positions[2] = 256;
  expect(
      "sequence 71 has positions 256 to 257, the model has max_positions 256");
  batch_.sequences.pop_back();
  expect("the sequences cover 2 of 3 rows");
  batch_.sequences[1].first_row = 1;
  expect("sequence 71 has rows 1 + 1, must begin at 2 and end by 3");
  batch_.logit_rows = {2, 1};
  expect("logit row 1 is outside [3, 3), or not ascending");
  batch_.logit_rows = {2};
  expect("logits are f32 [2, 101], must be f32 [1, 101]");
  batch_ = {};
  batch_.step_id = 9;
  expect("0 rows, must be in [1, 8]");
}

}  // namespace
}  // namespace moe
