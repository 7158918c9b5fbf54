#include "engine/loading/engine_factory.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/cache/kv_cache.h"
#include "engine/loading/load_checks.h"
#include "engine/parallel/exchange_kind.h"
#include "engine/runtime/engine_log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/recording_observer.h"
#include "tests/support/golden.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

LoadEngineOptions GoldenOptions() {
  LoadEngineOptions options;
  options.device = TestDevice();
  options.checkpoint_path = GoldenDirectory("prmoe_head");
  options.weight_dtype = DType::kF32;
  options.num_threads = 2;
  options.engine.max_running_sequences = 4;
  return options;
}

TEST(EngineFactoryTest, GreedyAnswersAreTheWritersOwn) {
  absl::StatusOr<LoadedEngine> loaded = LoadEngine(GoldenOptions());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Golden golden("prmoe_head");
  const std::vector<int32_t> prompts = golden.Ints("prompts");
  const std::vector<int32_t> greedy = golden.Ints("greedy");
  const int64_t prompt_size = golden.Shape("prompts")[1];
  const int64_t answer_size = golden.Shape("greedy")[1];
  std::vector<std::shared_ptr<RecordingObserver>> observers;
  for (int64_t row = 0; row < golden.Shape("prompts")[0]; ++row) {
    Request request;
    request.id = absl::StrCat("row", row);
    request.prompt.assign(prompts.begin() + row * prompt_size,
                          prompts.begin() + (row + 1) * prompt_size);
    request.sampling.temperature = 0.0f;
    request.stopping.max_new_tokens = answer_size;
    observers.push_back(std::make_shared<RecordingObserver>());
    ASSERT_TRUE(loaded->engine->Submit(request, observers.back()).ok());
  }
  for (size_t row = 0; row < observers.size(); ++row) {
    ASSERT_TRUE(observers[row]->WaitDone().ok());
    const auto tokens = observers[row]->answers()[0].tokens;
    ASSERT_EQ(static_cast<int64_t>(tokens.size()), answer_size);
    for (int64_t i = 0; i < answer_size; ++i) {
      EXPECT_EQ(tokens[i].token_id, greedy[row * answer_size + i]) << i;
    }
  }
}

TEST(EngineFactoryTest, RefusesDegreesThatOneRankCannotHave) {
  LoadEngineOptions options = GoldenOptions();
  options.parallel.tensor_degree = 2;
  EXPECT_EQ(LoadEngine(options).status(),
            absl::InvalidArgumentError(
                "tensor degree 2 must divide the world of 1 ranks"));
  options = GoldenOptions();
  options.parallel.expert_degree = 2;
  absl::Status status = LoadEngine(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("layer 1 (2 experts)"));
  EXPECT_THAT(status.message(), HasSubstr("expert degree 2"));
  options = GoldenOptions();
  options.parallel.layers = {{.layer = 77, .expert_degree = 1}};
  status = LoadEngine(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("layer 77"));
}

TEST(EngineFactoryTest, TakesDegreesOfOneAndAnyExchangeForOneRank) {
  LoadEngineOptions options = GoldenOptions();
  options.parallel.tensor_degree = 1;
  options.parallel.expert_degree = 1;
  options.parallel.slice_degree = 1;
  options.parallel.exchange = ExchangeKind::kHierarchical;
  EXPECT_TRUE(LoadEngine(options).ok());
}

TEST(EngineFactoryTest, SaysWhatItLoaded) {
  std::vector<std::string> events;
  std::string experts;
  SetEngineLogSink([&](EngineLogLevel, const std::string& event,
                       const EngineLogFields& fields) {
    events.push_back(event);
    for (const auto& [key, value] : fields) {
      if (key == "experts_per_layer") experts = std::get<std::string>(value);
    }
  });
  int64_t last_done = 0;
  int64_t last_total = -1;
  absl::StatusOr<LoadedEngine> loaded =
      LoadEngine(GoldenOptions(), [&](int64_t done, int64_t total) {
        EXPECT_GE(done, last_done);
        last_done = done;
        last_total = total;
      });
  SetEngineLogSink({});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(last_done, last_total);
  EXPECT_THAT(events, testing::Contains("engine_loaded"));
  EXPECT_EQ(experts, "0,2,0,4,0,8");
  const EngineInfo& info = loaded->info;
  EXPECT_EQ(info.num_threads, 2);
  EXPECT_GT(info.parameters.total, info.parameters.active);
  EXPECT_GE(info.weight_bytes, 4 * info.parameters.total * 9 / 10);
  EXPECT_FALSE(info.isa.empty());
  EXPECT_THAT(info.checkpoint_description, HasSubstr("DeepSpeed"));
  // Automatic: no more than all that can run needs.
  EXPECT_TRUE(info.kv_cache_automatic);
  EXPECT_EQ(info.num_blocks, 4 * 64 / 16);
  EXPECT_EQ(info.kv_cache_bytes,
            info.num_blocks * KvCache::BlockBytes(info.model, 16));
  EXPECT_EQ(loaded->engine->options().num_blocks, info.num_blocks);
}

TEST(EngineFactoryTest, KvCacheBytesSetTheNumberOfBlocks) {
  LoadEngineOptions options = GoldenOptions();
  // 6 layers x keys and values x 64 floats x 16 tokens.
  constexpr int64_t kBlockBytes = 6 * 2 * 64 * 4 * 16;
  options.kv_cache_bytes = 5 * kBlockBytes + 17;
  absl::StatusOr<LoadedEngine> loaded = LoadEngine(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->info.num_blocks, 5);
  EXPECT_FALSE(loaded->info.kv_cache_automatic);
  options.kv_cache_bytes = kBlockBytes - 1;
  const absl::Status status = LoadEngine(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("kv_cache_bytes"));
}

TEST(EngineFactoryTest, AnAutomaticKvCacheLeavesMemoryForTheRowsOfAStep) {
  LoadEngineOptions options = GoldenOptions();
  const absl::StatusOr<LoadedEngine> loaded = LoadEngine(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  // Alone, logits: of 4 sequences, and of 64 rows of prompts.
  EXPECT_EQ(loaded->info.step_bytes,
            (4 + 64) * loaded->info.model.vocab_size * 4);
  const ModelConfig& model = loaded->info.model;
  // A context that no memory holds shows what is affordable.
  ModelConfig endless = model;
  endless.max_positions = int64_t{1} << 40;
  const absl::StatusOr<int64_t> available = TestBackend().AvailableBytes();
  ASSERT_TRUE(available.ok()) << available.status();
  const int64_t step_bytes = *available / 2;
  const auto all = ChooseNumBlocks(options, endless, 1, 0);
  const auto rest = ChooseNumBlocks(options, endless, 1, step_bytes);
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_TRUE(rest.ok()) << rest.status();
  // Memory is used by others, too.
  EXPECT_NEAR(static_cast<double>(*rest), *all / 2.0, *all / 5.0);
  const absl::Status none =
      ChooseNumBlocks(options, endless, 1, *available * 2).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(none.message()), HasSubstr("lower max_step_tokens"));
  // Whoever sets a size takes the risk.
  options.kv_cache_bytes = 10 * KvCache::BlockBytes(model, 16);
  EXPECT_EQ(*ChooseNumBlocks(options, model, 1, *available * 2), 10);
}

TEST(EngineFactoryTest, AKvCacheThatMemoryCannotHoldIsRefused) {
  const absl::StatusOr<int64_t> available = TestBackend().AvailableBytes();
  ASSERT_TRUE(available.ok()) << available.status();
  // More than there is, but no more than the kernel would promise.
  LoadEngineOptions options = GoldenOptions();
  options.kv_cache_bytes = *available + *available / 4;
  absl::Status status = LoadEngine(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("kv_cache_bytes"));
  options = GoldenOptions();
  options.engine.num_blocks = int64_t{1} << 60;
  status = LoadEngine(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("num_blocks"));
}

TEST(EngineFactoryTest, BadOptionsAreNamed) {
  LoadEngineOptions options = GoldenOptions();
  options.num_threads = -1;
  EXPECT_THAT(LoadEngine(options).status().ToString(),
              HasSubstr("num_threads is -1"));
  options = GoldenOptions();
  options.kv_cache_bytes = -1;
  EXPECT_THAT(LoadEngine(options).status().ToString(),
              HasSubstr("kv_cache_bytes is -1"));
  options = GoldenOptions();
  options.engine.max_step_tokens = 3;
  EXPECT_THAT(LoadEngine(options).status().ToString(),
              HasSubstr("max_step_tokens is 3"));
  options = GoldenOptions();
  options.engine.eos_token_ids = {501};
  EXPECT_THAT(LoadEngine(options).status().ToString(),
              HasSubstr("eos_token_ids[0] is 501"));
  options = GoldenOptions();
  options.checkpoint_path = "no/such/directory";
  const absl::Status status = LoadEngine(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no/such/directory"));
}

}  // namespace
}  // namespace moe
