#include "tools/loadgen/load_run.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/moe/v1/control.grpc.pb.h"
#include "proto/moe/v1/generation.grpc.pb.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

absl::Status ToAbsl(const std::string& what, const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat(what, ": ", status.error_message()));
}

v1::GenerateRequest MakeRequest(const LoadOptions& options, int64_t vocab_size,
                                int number) {
  std::mt19937_64 random(options.seed * 1000003 + number);
  v1::GenerateRequest request;
  for (int64_t i = 0; i < options.prompt_tokens; ++i) {
    request.mutable_token_ids()->add_ids(random() % vocab_size);
  }
  request.mutable_stopping()->set_max_new_tokens(options.new_tokens);
  request.mutable_stopping()->set_ignore_eos(true);
  request.mutable_sampling()->set_seed(options.seed + number);
  request.mutable_output()->set_text(false);
  request.mutable_output()->set_token_ids(true);
  return request;
}

// Streams one request and adds its times to `result` under `mutex`.
void RunOne(v1::Inference::Stub& stub, const LoadOptions& options,
            const v1::GenerateRequest& request, std::mutex& mutex,
            LoadResult& result) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMilliseconds(options.timeout));
  std::vector<double> gaps;
  double ttft = 0;
  int64_t tokens = 0;
  const Clock::time_point start = Clock::now();
  Clock::time_point last = start;
  auto reader = stub.GenerateStream(&context, request);
  v1::GenerateChunk chunk;
  while (reader->Read(&chunk)) {
    if (chunk.tokens().empty()) continue;
    const Clock::time_point now = Clock::now();
    if (tokens == 0) {
      ttft = Seconds(now - start);
    } else {
      // The tokens of one chunk share its gap.
      const double gap = Seconds(now - last) / chunk.tokens_size();
      gaps.insert(gaps.end(), chunk.tokens_size(), gap);
    }
    tokens += chunk.tokens_size();
    last = now;
  }
  const grpc::Status status = reader->Finish();
  std::lock_guard<std::mutex> lock(mutex);
  result.output_tokens += tokens;
  if (!status.ok()) {
    result.errors.push_back(ToAbsl("GenerateStream", status).ToString());
    return;
  }
  ++result.completed;
  result.ttft_seconds.push_back(ttft);
  result.inter_token_seconds.insert(result.inter_token_seconds.end(),
                                    gaps.begin(), gaps.end());
}

// Samples the engine's last step every few milliseconds until `done`.
void WatchSteps(v1::Control::Stub& stub, const std::atomic<bool>& done,
                std::vector<double>& step_seconds) {
  uint64_t seen = 0;
  while (!done) {
    v1::Load load;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(10));
    if (!stub.GetLoad(&context, {}, &load).ok()) return;
    // The first steps compute prompts, and an idle engine repeats its last
    // value.
    if (load.steps() != seen && load.waiting_requests() == 0) {
      step_seconds.push_back(load.last_step_seconds());
    }
    seen = load.steps();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options) {
  auto channel =
      grpc::CreateChannel(options.address, grpc::InsecureChannelCredentials());
  auto stub = v1::Inference::NewStub(channel);
  v1::Model model;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(10));
  const grpc::Status status = stub->GetModel(&context, {}, &model);
  if (!status.ok()) return ToAbsl("GetModel of " + options.address, status);
  if (options.prompt_tokens + options.new_tokens > model.max_positions()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.prompt_tokens, " prompt and ", options.new_tokens,
                     " new tokens do not fit the model's ",
                     model.max_positions(), " positions"));
  }

  LoadResult result;
  std::mutex mutex;
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  const Clock::time_point start = Clock::now();
  // More threads would have nothing to do.
  const int streams = std::min(options.streams, options.requests);
  for (int i = 0; i < streams; ++i) {
    try {
      threads.emplace_back([&] {
        for (int n = next++; n < options.requests; n = next++) {
          RunOne(*stub, options, MakeRequest(options, model.vocab_size(), n),
                 mutex, result);
        }
      });
    } catch (const std::system_error& error) {
      next = options.requests;
      for (std::thread& thread : threads) thread.join();
      return absl::ResourceExhaustedError(
          absl::StrCat("the system refuses thread ", i + 1, " of ", streams,
                       ", one for each stream: ", error.what()));
    }
  }
  auto control = v1::Control::NewStub(channel);
  std::atomic<bool> done{false};
  std::thread watcher([&] { WatchSteps(*control, done, result.step_seconds); });
  for (std::thread& thread : threads) thread.join();
  result.elapsed = absl::FromChrono(Clock::now() - start);
  done = true;
  watcher.join();
  return result;
}

double Percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  const size_t rank = static_cast<size_t>(
      std::ceil(p / 100 * static_cast<double>(values.size())));
  const size_t i = std::min(std::max<size_t>(rank, 1), values.size()) - 1;
  std::nth_element(values.begin(), values.begin() + i, values.end());
  return values[i];
}

}  // namespace moe
