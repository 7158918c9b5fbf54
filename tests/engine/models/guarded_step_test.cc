// What the guarded runs of the model suites would show: a step that touches
// device memory on the host ends the process, and one that does not wait for
// what it reads has other logits.

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "engine/models/load_model.h"
#include "engine/models/model.h"
#include "gtest/gtest.h"
#include "kernels/core/thread_pool.h"
#include "tests/fakes/guarded_device.h"
#include "tests/fakes/random_checkpoint.h"

namespace moe {
namespace {

// What a step of a model does wrong, on demand.
class FaultyStream : public GuardedStream {
 public:
  using GuardedStream::GuardedStream;

  bool reads_on_host = false;  // the tables that a step fetches
  bool forgets_to_wait = false;

  absl::Status Copy(const TensorView& from, const TensorView& to) override {
    if (reads_on_host && from.device == device()) {
      (void)*static_cast<const volatile std::byte*>(from.data);
    }
    return GuardedStream::Copy(from, to);
  }

  absl::Status Synchronize() override {
    if (forgets_to_wait) return absl::OkStatus();
    return GuardedStream::Synchronize();
  }
};

class GuardedStepTest : public testing::Test {
 protected:
  GuardedStepTest() {
    auto model = LoadModel(checkpoint_, {.weight_dtype = DType::kF32}, stream_,
                           [](int64_t, int64_t) {});
    EXPECT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    auto cache = KvCache::Create(backend_, checkpoint_.config(), 4, 8);
    EXPECT_TRUE(cache.ok()) << cache.status();
    cache_ = std::make_unique<KvCache>(*std::move(cache));
  }

  absl::Status Step(std::vector<float>& logits) {
    Batch batch;
    SequenceSlice sequence;
    sequence.num_tokens = 3;
    sequence.block_ids = {0};
    batch.sequences.push_back(sequence);
    batch.token_ids = {5, 17, 3};
    batch.positions = {0, 1, 2};
    batch.logit_rows = {2};
    const int64_t vocab = checkpoint_.config().vocab_size;
    logits.assign(vocab, 0);
    return model_->Forward(batch, *cache_,
                           MakeView(logits.data(), DType::kF32, {1, vocab}),
                           nullptr);
  }

  const RandomCheckpoint checkpoint_{SmallPrMoeConfig()};
  ThreadPool threads_{1};
  GuardedBackend backend_;
  FaultyStream stream_{threads_, backend_};
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> cache_;
};

TEST_F(GuardedStepTest, AHostReadOfDeviceMemoryEndsTheProcess) {
  std::vector<float> logits;
  ASSERT_TRUE(Step(logits).ok());
  stream_.reads_on_host = true;
  EXPECT_DEATH(Step(logits).IgnoreError(), "");
}

TEST_F(GuardedStepTest, AMissingWaitLeavesOtherLogits) {
  std::vector<float> want, got;
  ASSERT_TRUE(Step(want).ok());
  stream_.forgets_to_wait = true;
  ASSERT_TRUE(Step(got).ok());
  EXPECT_NE(got, want);
  // The step's work is still there.
  stream_.forgets_to_wait = false;
  ASSERT_TRUE(stream_.Synchronize().ok());
  EXPECT_EQ(got, want);
}

}  // namespace
}  // namespace moe
