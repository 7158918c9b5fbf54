// A whole engine over the ranks of mpirun, with a real model: a program without
// GoogleTest's main, since the runtime starts MPI itself. Arguments: tensor
// degree, expert degree. Rank 0 compares the answers with those of an engine on
// one rank; the other ranks are workers. Exits with 0 on success.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/loading/engine_factory.h"
#include "tests/engine/runtime/engine_fixture.h"
#include "tests/support/golden.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

bool Expect(bool condition, const std::string& what) {
  if (!condition) std::fprintf(stderr, "expected: %s\n", what.c_str());
  return condition;
}

absl::Duration CpuTime() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return absl::DurationFromTimeval(usage.ru_utime) +
         absl::DurationFromTimeval(usage.ru_stime);
}

LoadEngineOptions Options() {
  LoadEngineOptions options;
  options.device = TestDevice();
  options.checkpoint_path = GoldenDirectory("prmoe_head");
  options.weight_dtype = DType::kF32;
  options.num_threads = 1;
  options.engine.num_blocks = 64;
  options.engine.block_size = 4;
  options.engine.max_step_tokens = 64;
  options.engine.max_running_sequences = 16;
  return options;
}

// Tokens; with `bits` logprobs too.
std::vector<std::string> Answers(Engine& engine, bool bits) {
  std::vector<std::shared_ptr<RecordingObserver>> observers;
  for (const Request& request : MixedRequests(64, 8, 501, 36)) {
    observers.push_back(std::make_shared<RecordingObserver>());
    if (!engine.Submit(request, observers.back()).ok()) return {};
  }
  std::vector<std::string> answers;
  for (const auto& observer : observers) {
    std::string text = observer->WaitDone().ToString();
    for (const auto& [index, answer] : observer->answers()) {
      absl::StrAppend(&text, "|");
      for (const SampledToken& token : answer.tokens) {
        absl::StrAppend(&text, token.token_id, " ");
      }
    }
    answers.push_back(bits ? observer->Fingerprint() : text);
  }
  return answers;
}

// The time of a token without other load.
absl::Duration DecodeTime(Engine& engine) {
  auto observer = std::make_shared<RecordingObserver>();
  Request request = MakeRequest("alone", 4, 50);
  if (!engine.Submit(request, observer).ok()) return absl::InfiniteDuration();
  observer->WaitDone().IgnoreError();
  const RequestTiming timing = observer->timing();
  return (timing.finished - timing.first_token) / 49;
}

bool Serve(RankRuntime& ranks, LoadEngineOptions options) {
  const bool bits = options.parallel.tensor_degree == 1;
  std::vector<std::string> expected;
  absl::Duration decode_alone;
  {
    absl::StatusOr<LoadedEngine> alone = LoadEngine(Options());
    if (!Expect(alone.ok(), alone.status().ToString())) return false;
    expected = Answers(*alone->engine, bits);
    decode_alone = DecodeTime(*alone->engine);
  }
  absl::StatusOr<LoadedEngine> loaded = LoadEngine(options, ranks);
  if (!Expect(loaded.ok(), loaded.status().ToString())) return false;
  const std::vector<std::string> answers = Answers(*loaded->engine, bits);
  if (!Expect(answers == expected, "the answers of one rank")) return false;
  const absl::Duration decode = DecodeTime(*loaded->engine);
  // Idle: all ranks sleep.
  absl::SleepFor(absl::Milliseconds(500));
  const absl::Time asked = absl::Now();
  auto observer = std::make_shared<RecordingObserver>();
  if (!Expect(
          loaded->engine->Submit(MakeRequest("woken", 4, 1), observer).ok() &&
              observer->WaitDone().ok(),
          "an answer after a pause")) {
    return false;
  }
  std::printf(
      "%d ranks: a token alone takes %s (one rank: %s), the first "
      "after a pause %s\n",
      ranks.size(), absl::FormatDuration(decode).c_str(),
      absl::FormatDuration(decode_alone).c_str(),
      absl::FormatDuration(absl::Now() - asked).c_str());
  return true;
}

int Main(int* argc, char*** argv) {
  auto ranks = RankRuntime::Init(argc, argv);
  if (!Expect(ranks.ok(), ranks.status().ToString())) return 1;
  const absl::Status started = (*ranks)->Start(BootstrapInfo());
  if (!Expect(started.ok(), started.ToString())) return 1;
  LoadEngineOptions options = Options();
  options.engine.num_blocks = 24;
  options.parallel.tensor_degree = std::atoi((*argv)[1]);
  options.parallel.expert_degree = std::atoi((*argv)[2]);
  bool well;
  if ((*ranks)->rank() == 0) {
    well = Serve(**ranks, options);
  } else {
    const absl::Status status = RunWorker(options, **ranks);
    well = Expect(status.ok(), status.ToString());
    std::printf("CPU time of rank %d: %s\n", (*ranks)->rank(),
                absl::FormatDuration(CpuTime()).c_str());
  }
  const absl::Status finished = (*ranks)->Finish();
  return well && Expect(finished.ok(), finished.ToString()) ? 0 : 1;
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) { return moe::Main(&argc, &argv); }
