// The server over the real engine (continuous batches, paged cache) and a model
// that only hashes: real gRPC clients, many at a time.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/runtime/threaded_engine.h"
#include "kernels/core/thread_pool.h"
#include "tests/fakes/byte_tokenizer.h"
#include "tests/fakes/fake_model.h"
#include "tests/server/grpc/test_server.h"

namespace moe {
namespace {

using grpc::StatusCode;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr std::chrono::seconds kWaitTimeout(30);

// Holds up the steps of a model until it is opened.
class Gate {
 public:
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  void Open() {
    std::lock_guard lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }
  // Called by each step.
  void Pass() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kWaitTimeout, [this] { return !closed_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
};

class ServingTest : public testing::Test {
 protected:
  ~ServingTest() override {
    gate_.Open();
    if (engine_ != nullptr) {
      engine_->Shutdown(absl::UnavailableError("end of test"));
    }
  }

  void Start(EngineOptions options = {}) {
    options.num_blocks = options.num_blocks == 0 ? 1024 : options.num_blocks;
    options.eos_token_ids = {ByteTokenizer::kEos};
    EngineParts parts;
    parts.threads = std::make_unique<ThreadPool>(1);
    FakeModel::Hooks hooks;
    hooks.before_step = [this](const Batch&) {
      gate_.Pass();
      return absl::OkStatus();
    };
    parts.model = std::make_unique<FakeModel>(
        ByteTokenizer::kVocabSize, /*max_positions=*/256, std::move(hooks));
    auto engine = CreateEngine(std::move(parts), options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    ServedModel model;
    model.name = "hash";
    model.engine = engine_.get();
    model.tokenizer = &tokenizer_;
    model.info.model = engine_->model_config();
    server_ = std::make_unique<TestServer>(model);
  }

  static v1::GenerateRequest MakeRequest(int i) {
    v1::GenerateRequest request;
    request.set_text(absl::StrCat("request ", i, std::string(i % 50, '.')));
    request.mutable_sampling()->set_seed(i);
    request.mutable_sampling()->set_temperature(i % 3 == 0 ? 0 : 0.8f);
    request.mutable_sampling()->set_n(i % 7 == 0 ? 2 : 1);
    request.mutable_stopping()->set_max_new_tokens(5 + i % 20);
    request.mutable_stopping()->set_ignore_eos(true);
    return request;
  }

  StreamResult Run(const v1::GenerateRequest& request,
                   v1::Inference::Stub& stub) {
    grpc::ClientContext context;
    SetDeadline(context);
    return ReadAll(*stub.GenerateStream(&context, request));
  }

  void ExpectAllBlocksFree() {
    EXPECT_TRUE(engine_->WaitIdle(absl::Seconds(30)));
    const EngineLoad load = engine_->GetLoad();
    EXPECT_EQ(load.running, 0);
    EXPECT_EQ(load.waiting, 0);
    EXPECT_EQ(load.free_blocks, load.total_blocks);
  }

  Gate gate_;
  ByteTokenizer tokenizer_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<TestServer> server_;
};

TEST_F(ServingTest, TwoHundredClientsAtOnceGetWhatEachGetsAlone) {
  EngineOptions options;
  options.max_running_sequences = 32;
  options.num_blocks = 128;  // too few for 32 of them: some are put back
  Start(options);
  constexpr int kNumClients = 200;
  std::vector<std::string> alone(kNumClients);
  for (int i = 0; i < kNumClients; ++i) {
    v1::GenerateResponse response;
    grpc::ClientContext context;
    SetDeadline(context);
    const grpc::Status status =
        server_->inference().Generate(&context, MakeRequest(i), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    for (const v1::Answer& answer : response.answers()) {
      alone[i] += answer.text();
    }
  }
  std::vector<StreamResult> together(kNumClients);
  std::vector<std::thread> clients;
  for (int i = 0; i < kNumClients; ++i) {
    clients.emplace_back([&, i] {
      // A connection each.
      const auto stub = v1::Inference::NewStub(server_->NewChannel());
      v1::GenerateRequest request = MakeRequest(i);
      grpc::ClientContext context;
      SetDeadline(context);
      const auto reader = stub->GenerateStream(&context, request);
      std::vector<std::string> texts(2);
      v1::GenerateChunk chunk;
      while (reader->Read(&chunk)) {
        texts[chunk.index()] += chunk.text();
        together[i].num_finishes += chunk.has_finish();
      }
      together[i].status = reader->Finish();
      together[i].text = texts[0] + texts[1];
    });
  }
  for (std::thread& client : clients) client.join();
  for (int i = 0; i < kNumClients; ++i) {
    EXPECT_TRUE(together[i].status.ok())
        << i << ": " << together[i].status.error_message();
    EXPECT_EQ(together[i].text, alone[i]) << i;
    EXPECT_EQ(together[i].num_finishes, i % 7 == 0 ? 2 : 1) << i;
  }
  ExpectAllBlocksFree();
}

TEST_F(ServingTest, AFullQueueRefusesAndTheRestFinish) {
  EngineOptions options;
  options.max_running_sequences = 2;
  options.max_waiting_requests = 3;
  Start(options);
  gate_.Close();
  constexpr int kNumClients = 50;
  std::vector<StreamResult> results(kNumClients);
  std::vector<std::thread> clients;
  std::mutex mutex;
  std::condition_variable changed;
  int num_refused = 0;
  for (int i = 0; i < kNumClients; ++i) {
    clients.emplace_back([&, i] {
      v1::GenerateRequest request = MakeRequest(1);
      results[i] = Run(request, server_->inference());
      if (results[i].status.error_code() == StatusCode::RESOURCE_EXHAUSTED) {
        std::lock_guard lock(mutex);
        ++num_refused;
        changed.notify_all();
      }
    });
  }
  {
    // With no step done, at most what runs or waits is taken.
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, kWaitTimeout, [&] {
      return num_refused >= kNumClients - 2 - 3 - 1;
    }));
  }
  gate_.Open();
  for (std::thread& client : clients) client.join();
  int num_ok = 0;
  for (const StreamResult& result : results) {
    if (result.status.ok()) {
      ++num_ok;
    } else {
      EXPECT_EQ(result.status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_TRUE(HasDetail(result.status, "RetryInfo"));
    }
  }
  EXPECT_GE(num_ok, 3);
  ExpectAllBlocksFree();
}

TEST_F(ServingTest, CancellingMidStreamFreesTheBlocks) {
  Start();
  v1::GenerateRequest request = MakeRequest(1);
  request.mutable_stopping()->clear_max_new_tokens();
  grpc::ClientContext context;
  SetDeadline(context);
  const auto reader = server_->inference().GenerateStream(&context, request);
  v1::GenerateChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);
  ExpectAllBlocksFree();
}

TEST_F(ServingTest, AClientThatGoesAwayLeavesNothingBehind) {
  Start();
  gate_.Close();
  {
    auto channel = server_->NewChannel();
    const auto stub = v1::Inference::NewStub(channel);
    grpc::ClientContext context;
    const auto reader = stub->GenerateStream(&context, MakeRequest(1));
    while (engine_->GetLoad().running + engine_->GetLoad().waiting == 0) {
      std::this_thread::yield();
    }
  }  // the connection is gone
  gate_.Open();
  ExpectAllBlocksFree();
  // Others are served as before.
  EXPECT_TRUE(Run(MakeRequest(2), server_->inference()).status.ok());
}

TEST_F(ServingTest, ThePassingOfTheDeadlineFreesTheBlocks) {
  Start();
  gate_.Close();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(200));
  const StreamResult result =
      ReadAll(*server_->inference().GenerateStream(&context, MakeRequest(1)));
  EXPECT_EQ(result.status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  gate_.Open();
  ExpectAllBlocksFree();
}

TEST_F(ServingTest, AStalledEngineIsNotServingUntilItGoesOn) {
  EngineOptions options;
  options.stall_timeout = absl::Milliseconds(100);
  Start(options);
  grpc::ClientContext watch_context;
  SetDeadline(watch_context);
  const auto watch =
      server_->health().Watch(&watch_context, HealthCheckRequest());
  HealthCheckResponse health;
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::SERVING);
  gate_.Close();
  std::thread client([this] {
    EXPECT_TRUE(Run(MakeRequest(1), server_->inference()).status.ok());
  });
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::NOT_SERVING);
  gate_.Open();
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::SERVING);
  client.join();
  watch_context.TryCancel();
  watch->Finish();
}

TEST_F(ServingTest, AClientThatDoesNotReadHoldsUpNobody) {
  Start();
  // More bytes than the connection takes unread.
  v1::GenerateRequest large = MakeRequest(1);
  large.mutable_sampling()->set_n(16);
  large.mutable_stopping()->set_max_new_tokens(200);
  large.mutable_output()->set_logprobs(20);
  const auto channel = server_->NewChannel();
  const auto stub = v1::Inference::NewStub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  const auto reader = stub->GenerateStream(&context, large);
  EXPECT_TRUE(Run(MakeRequest(2), server_->inference()).status.ok());
  // The engine finishes it, read or not.
  ExpectAllBlocksFree();
  EXPECT_TRUE(Run(MakeRequest(4), server_->inference()).status.ok());

  int num_tokens = 0;
  int num_finishes = 0;
  v1::GenerateChunk chunk;
  while (reader->Read(&chunk)) {
    num_tokens += chunk.tokens_size();
    num_finishes += chunk.has_finish();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(num_tokens, 16 * 200);
  EXPECT_EQ(num_finishes, 16);
}

// Stop strings are found outside the engine, which must then be told.
TEST_F(ServingTest, AStopStringEndsTheRequestInTheEngine) {
  Start();
  v1::GenerateRequest request = MakeRequest(3);  // greedy
  request.mutable_penalties()->add_allowed_token_ids('a');
  request.mutable_penalties()->add_allowed_token_ids('b');
  request.mutable_stopping()->clear_max_new_tokens();
  request.mutable_stopping()->add_stop("ab");
  request.mutable_stopping()->add_stop("aaaa");
  request.mutable_stopping()->add_stop("bbbb");
  const StreamResult result = Run(request, server_->inference());
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.num_finishes, 1);
  EXPECT_LT(result.text.size(), 8u);
  ExpectAllBlocksFree();
}

}  // namespace
}  // namespace moe
