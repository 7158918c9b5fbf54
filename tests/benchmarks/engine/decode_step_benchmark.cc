// Whole steps of a model on the CPU: decode at several batch sizes and a
// prefill of 512 tokens, against what the machine can do in the same seconds:
// each step is followed by a pass over memory and a burst of multiply-adds.
//   bazel run //tests/benchmarks/engine:decode_step_benchmark -- --experts=8
//   ... -- --checkpoint=DIR
// Bytes are those that a step must read: weights of all layers, of the experts
// that its rows chose (counted by the routing trace), and keys and values.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/parameter_count.h"
#include "engine/loading/open_checkpoint.h"
#include "engine/models/load_model.h"
#include "kernels/core/cpu_features.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/stream.h"
#include "tests/benchmarks/engine/paper_shape.h"
#include "tests/benchmarks/machine_ceilings.h"
#include "tests/fakes/random_checkpoint.h"

ABSL_FLAG(std::string, checkpoint, "", "DeepSpeed directory; empty: random");
ABSL_FLAG(int, experts, 8, "experts of every second layer of a random model");
ABSL_FLAG(int, layers, 24, "layers of a random model");
ABSL_FLAG(int, hidden, 1024, "hidden size of a random model");
ABSL_FLAG(int, vocab, 50304, "vocabulary of a random model");
ABSL_FLAG(int, threads, 2, "threads");
ABSL_FLAG(int, context, 128, "tokens that a decoded sequence has already");
ABSL_FLAG(int, steps, 15, "measured steps of each kind");
ABSL_FLAG(std::vector<std::string>, batches,
          std::vector<std::string>({"1", "2", "4", "8", "16", "32"}),
          "decode batch sizes");
ABSL_FLAG(bool, prefill, true, "also measure a prefill");

namespace moe {
namespace {

constexpr int64_t kBlockSize = 16;
constexpr int64_t kPrefillTokens = 512;

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

class Benchmark {
 public:
  Benchmark(const Checkpoint& checkpoint, ThreadPool& threads)
      : threads_(threads),
        stream_(threads),
        model_(OrDie(LoadModel(
            checkpoint,
            {.weight_dtype = DType::kBf16, .max_rows = kPrefillTokens}, stream_,
            [](int64_t, int64_t) {}))),
        cache_(OrDie(KvCache::Create(model_->backend(), model_->config(), 512, kBlockSize))) {}

  const Model& model() const { return *model_; }

  // Sequence `i` of `tokens` rows at `start`, in blocks of its own.
  void AddSequence(Batch& batch, int64_t i, int64_t tokens, int64_t start) {
    SequenceSlice sequence;
    sequence.sequence_id = i;
    sequence.first_row = static_cast<int32_t>(batch.num_rows());
    sequence.num_tokens = static_cast<int32_t>(tokens);
    sequence.start_position = static_cast<int32_t>(start);
    const int64_t blocks = (start + tokens + kBlockSize - 1) / kBlockSize;
    for (int64_t b = 0; b < blocks; ++b) {
      sequence.block_ids.push_back(static_cast<int32_t>(i * blocks + b));
    }
    for (int64_t t = 0; t < tokens; ++t) {
      random_ = random_ * 1664525u + 1013904223u;
      batch.token_ids.push_back(
          static_cast<int32_t>((random_ >> 8) % model_->config().vocab_size));
      batch.positions.push_back(static_cast<int32_t>(start + t));
    }
    batch.logit_rows.push_back(static_cast<int32_t>(batch.num_rows() - 1));
    batch.sequences.push_back(sequence);
  }

  // Seconds of one step.
  double Step(const Batch& batch, RoutingTrace* trace) {
    const int64_t rows = static_cast<int64_t>(batch.logit_rows.size());
    const int64_t vocab = model_->config().vocab_size;
    logits_.resize(rows * vocab);
    const auto begin = std::chrono::steady_clock::now();
    const absl::Status status = model_->Forward(
        batch, cache_, MakeView(logits_.data(), DType::kF32, {rows, vocab}),
        trace);
    const auto end = std::chrono::steady_clock::now();
    if (!status.ok()) OrDie(absl::StatusOr<int>(status));
    return std::chrono::duration<double>(end - begin).count();
  }

  // Steps of batches that `make` fills, with one line of results.
  void Measure(const char* name, const std::function<void(Batch&)>& make) {
    RateSamples read, fma;
    std::vector<double> seconds, bytes, read_share, fma_share;
    double flops = 0;
    const int steps = absl::GetFlag(FLAGS_steps);
    for (int i = -2; i < steps; ++i) {
      Batch batch;
      make(batch);
      RoutingTrace trace;
      const double s = Step(batch, &trace);
      const double read_rate = probe_.Run(threads_, size_t{256} << 20);
      const double fma_rate = MeasureFmaRate(threads_);
      if (i < 0) continue;  // warm-up
      read.Add(read_rate);
      fma.Add(fma_rate);
      seconds.push_back(s);
      bytes.push_back(BytesTouched(batch, trace));
      flops = Flops(batch);
    }
    const double s = Median(seconds), b = Median(bytes);
    const double best = *std::min_element(seconds.begin(), seconds.end());
    std::printf(
        "%-12s %8.2f %8.2f %9.1f %7.1f %7.1f %6.1f%% %9.1f %9.1f "
        "%6.1f%%\n",
        name, s * 1e3, best * 1e3, b / 1e6, b / s / 1e9, read.median() / 1e9,
        100 * b / s / read.median(), flops / s / 1e9, fma.median() / 1e9,
        100 * flops / s / fma.median());
    std::fflush(stdout);
  }

 private:
  static double Median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }

  double BytesTouched(const Batch& batch, const RoutingTrace& trace) const {
    const ModelConfig& c = model_->config();
    double bytes = static_cast<double>(model_->weight_bytes());
    double cached = 0;  // of one token
    for (int64_t layer = 0; layer < c.num_layers(); ++layer) {
      cached += 2.0 * sizeof(float) * c.layers[layer].attention.kv_rows();
      const auto& ids = trace.expert_ids[layer];
      const int64_t used = static_cast<int64_t>(
          std::set<int32_t>(ids.begin(), ids.end()).size());
      const MlpConfig& mlp = c.layers[layer].any_mlp();
      const int64_t expert =
          (mlp.up_rows() + mlp.ffn_hidden_size) * c.hidden_size * 2;
      bytes -= static_cast<double>(expert * (c.num_experts(layer) - used));
    }
    for (const SequenceSlice& sequence : batch.sequences) {
      bytes += cached * (sequence.start_position + sequence.num_tokens);
    }
    return bytes;
  }

  double Flops(const Batch& batch) const {
    const ModelConfig& c = model_->config();
    double row = static_cast<double>(CountParameters(c).active);
    row -= static_cast<double>(c.padded_vocab_size * c.hidden_size);
    if (c.learned_positions) {
      row -= static_cast<double>(c.max_positions * c.hidden_size);
    }
    double flops = 2.0 * row * batch.num_rows() +
                   2.0 * c.vocab_size * c.hidden_size *
                       static_cast<double>(batch.logit_rows.size());
    for (const SequenceSlice& sequence : batch.sequences) {
      const double n = sequence.num_tokens, start = sequence.start_position;
      for (const LayerConfig& layer : c.layers) {
        flops +=
            4.0 * layer.attention.query_rows() * (n * start + n * (n + 1) / 2);
      }
    }
    return flops;
  }

  ThreadPool& threads_;
  CpuStream stream_;
  std::unique_ptr<Model> model_;
  KvCache cache_;
  ReadRateProbe probe_;
  std::vector<float> logits_;
  uint32_t random_ = 1;
};

void Run() {
  std::unique_ptr<Checkpoint> checkpoint;
  if (const std::string path = absl::GetFlag(FLAGS_checkpoint); !path.empty()) {
    checkpoint = OrDie(OpenCheckpoint(path));
  } else {
    checkpoint = std::make_unique<RandomCheckpoint>(
        PaperShape(absl::GetFlag(FLAGS_layers), absl::GetFlag(FLAGS_hidden),
                   absl::GetFlag(FLAGS_vocab), absl::GetFlag(FLAGS_experts)),
        DType::kBf16);
  }
  ThreadPool threads(absl::GetFlag(FLAGS_threads));
  Benchmark benchmark(*checkpoint, threads);
  const ModelConfig& config = benchmark.model().config();
  std::printf(
      "%s: %.2f G parameters, %.2f GB of bf16 weights; %s, %d threads, "
      "contexts of %d\n",
      config.family.c_str(), CountParameters(config).total / 1e9,
      benchmark.model().weight_bytes() / 1e9, ChosenIsa().c_str(),
      threads.num_threads(), absl::GetFlag(FLAGS_context));
  std::printf("%-12s %8s %8s %9s %7s %7s %7s %9s %9s %7s\n", "step", "ms",
              "best ms", "MB", "GB/s", "machine", "", "GFLOP/s", "machine", "");
  for (const std::string& text : absl::GetFlag(FLAGS_batches)) {
    int batch_size = 0;
    if (!absl::SimpleAtoi(text, &batch_size) || batch_size < 1) {
      std::fprintf(stderr, "--batches has '%s'\n", text.c_str());
      std::exit(1);
    }
    const std::string name = "batch " + text;
    benchmark.Measure(name.c_str(), [&](Batch& batch) {
      for (int i = 0; i < batch_size; ++i) {
        benchmark.AddSequence(batch, i, 1, absl::GetFlag(FLAGS_context) - 1);
      }
    });
  }
  if (absl::GetFlag(FLAGS_prefill)) {
    const int64_t tokens = std::min(kPrefillTokens, config.max_positions);
    benchmark.Measure(
        ("prefill " + std::to_string(tokens)).c_str(),
        [&](Batch& batch) { benchmark.AddSequence(batch, 0, tokens, 0); });
  }
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  moe::Run();
}
