// Linear layers compared with this machine's ceilings, measured alternately:
// bytes of weights per second beside the rate of reading memory, operations per
// second beside the fused multiply-add peak. The weights of one case are far
// larger than the caches, so each product reads its weight from memory.
//   bazel run //tests/benchmarks/kernels:linear_benchmark -- --isa=avx2
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "kernels/core/cpu_features.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/ops/linear.h"
#include "tests/benchmarks/machine_ceilings.h"

ABSL_FLAG(std::string, isa, "auto", "instruction set to use");
ABSL_FLAG(int, threads, 0, "most threads; 0: as many as there are CPUs");
ABSL_FLAG(int, repeats, 5, "measurements of each case; the best is printed");
ABSL_FLAG(std::vector<std::string>, dtypes,
          std::vector<std::string>({"bf16", "f16", "f32"}), "types of weights");
ABSL_FLAG(std::vector<std::string>, rows,
          std::vector<std::string>({"1", "2", "4", "6", "8", "16", "32", "96",
                                    "512"}),
          "rows of activations");
ABSL_FLAG(std::vector<std::string>, tokens,
          std::vector<std::string>({"1", "2", "4", "8", "16", "32"}),
          "batches of the case of 32 experts");
ABSL_FLAG(int, out, 4096, "output features of the dense case");
ABSL_FLAG(int, in, 4096, "input features of the dense case");

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

void OrDie(const absl::Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
}

DType ParseDType(const std::string& name) {
  for (DType dtype : {DType::kBf16, DType::kF16, DType::kF32}) {
    if (DTypeName(dtype) == absl::string_view(name)) return dtype;
  }
  std::fprintf(stderr, "--dtypes: %s is not bf16, f16 or f32\n", name.c_str());
  std::exit(1);
}

std::vector<int64_t> Numbers(const std::vector<std::string>& texts) {
  std::vector<int64_t> numbers;
  for (const std::string& text : texts) {
    numbers.push_back(std::atoll(text.c_str()));
  }
  return numbers;
}

Tensor RandomTensor(int64_t rows, int64_t columns) {
  Tensor tensor = OrDie(Tensor::Allocate(DType::kF32, {rows, columns}));
  uint32_t state = 1;
  for (int64_t i = 0; i < rows * columns; ++i) {
    state = state * 1664525 + 1013904223;
    tensor.ptr<float>()[i] = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
  }
  return tensor;
}

// One thread count's pool and ceilings.
struct Machine {
  explicit Machine(int num_threads) : threads(num_threads), stream(threads) {}

  ThreadPool threads;
  CpuStream stream;
};

class LinearBenchmark {
 public:
  explicit LinearBenchmark(int max_threads) {
    machines_.push_back(std::make_unique<Machine>(1));
    if (max_threads > 1) {
      machines_.push_back(std::make_unique<Machine>(max_threads));
    }
  }

  // `copies` weights, used in turn; each product has `rows` rows.
  void RunDense(DType dtype, const std::vector<int64_t>& rows, int64_t out,
                int64_t in) {
    const std::vector<WeightMatrix> weights = PackCopies(dtype, out, in);
    const int64_t most = *std::max_element(rows.begin(), rows.end());
    const Tensor x = RandomTensor(most, in);
    const Tensor y = RandomTensor(most, out);
    size_t next = 0;
    for (int64_t m : rows) {
      // Enough products for a pass of some 100 ms at least.
      const int64_t products = m <= 16 ? 8 : m <= 96 ? 3 : 1;
      const auto run = [&](Machine& machine) {
        for (int64_t i = 0; i < products; ++i) {
          LinearGroup group;
          group.weight = &weights[next++ % weights.size()];
          group.x = x.view().Rows(0, m);
          group.y = y.view().Rows(0, m);
          OrDie(Linear(group, machine.stream));
        }
      };
      const std::string name = std::string(DTypeName(dtype)) + " [" +
                               std::to_string(out) + ", " + std::to_string(in) +
                               "] rows " + std::to_string(m);
      Measure(name, run, products * weights[0].num_bytes(),
              products * 2 * m * out * in);
    }
  }

  // 32 experts [1024, 4096], each token sent to one at random.
  void RunExperts(DType dtype, const std::vector<int64_t>& batches) {
    constexpr int64_t kExperts = 32, kOut = 1024, kIn = 4096;
    std::vector<WeightMatrix> weights = PackCopies(dtype, kOut, kIn, kExperts);
    const size_t layers = weights.size() / kExperts;
    const int64_t most = *std::max_element(batches.begin(), batches.end());
    const Tensor x = RandomTensor(most, kIn);
    const Tensor y = RandomTensor(most, kOut);
    size_t layer = 0;
    for (int64_t tokens : batches) {
      // The expert of each token, then tokens ordered by expert.
      std::vector<std::vector<int32_t>> rows(kExperts);
      uint32_t state = 7;
      for (int64_t t = 0; t < tokens; ++t) {
        state = state * 1664525 + 1013904223;
        rows[state >> 27].push_back(static_cast<int32_t>(t));
      }
      int64_t touched = 0;
      for (const auto& r : rows) touched += r.empty() ? 0 : 1;
      const int64_t calls = std::max<int64_t>(2, 32 / touched);
      const auto run = [&](Machine& machine) {
        for (int64_t i = 0; i < calls; ++i) {
          std::vector<LinearGroup> groups(kExperts);
          int64_t begin = 0;
          // Other experts each time, so that none is found in a cache.
          ++layer;
          for (int64_t e = 0; e < kExperts; ++e) {
            groups[e].weight = &weights[(layer * 5 + e) % (layers * kExperts)];
            groups[e].x = x.view();
            groups[e].x_rows = MakeView(rows[e].data(), DType::kI32,
                                        {static_cast<int64_t>(rows[e].size())});
            const int64_t end = begin + static_cast<int64_t>(rows[e].size());
            groups[e].y = y.view().Rows(begin, end);
            begin = end;
          }
          OrDie(GroupedLinear(groups, machine.stream));
        }
      };
      const std::string name = std::string(DTypeName(dtype)) +
                               " 32 experts, tokens " + std::to_string(tokens) +
                               " on " + std::to_string(touched);
      Measure(name, run, calls * touched * weights[0].num_bytes(),
              calls * 2 * tokens * kOut * kIn);
    }
  }

 private:
  // As many weights as make the total far larger than the caches.
  std::vector<WeightMatrix> PackCopies(DType dtype, int64_t out, int64_t in,
                                       int64_t at_least = 1) {
    const int64_t bytes = out * in * static_cast<int64_t>(SizeOf(dtype));
    const int64_t copies = std::max(
        at_least, static_cast<int64_t>(probe_.num_bytes()) / bytes + 1);
    const Tensor source = RandomTensor(out, in);
    std::vector<WeightMatrix> weights;
    for (int64_t i = 0; i < copies; ++i) {
      weights.push_back(
          OrDie(PackWeight(source.view(), dtype, machines_.back()->stream)));
    }
    return weights;
  }

  template <typename Run>
  void Measure(const std::string& name, const Run& run, int64_t bytes,
               int64_t operations) {
    for (auto& machine : machines_) {
      RateSamples read, fma, passes;
      run(*machine);
      for (int i = 0; i < absl::GetFlag(FLAGS_repeats); ++i) {
        read.Add(probe_.Run(machine->threads, size_t{256} << 20));
        fma.Add(MeasureFmaRate(machine->threads));
        const auto start = Clock::now();
        run(*machine);
        passes.Add(1 /
                   std::chrono::duration<double>(Clock::now() - start).count());
      }
      const double rate = passes.best();
      std::printf(
          "%-34s %d thr %7.1f GB/s %5.1f %% of %5.1f (median %5.1f %%) "
          "%7.1f GFLOP/s %5.1f %% of %5.1f (median %5.1f %%)\n",
          name.c_str(), machine->threads.num_threads(), bytes * rate / 1e9,
          100 * bytes * rate / read.best(), read.best() / 1e9,
          100 * bytes * passes.median() / read.median(),
          operations * rate / 1e9, 100 * operations * rate / fma.best(),
          fma.best() / 1e9, 100 * operations * passes.median() / fma.median());
      std::fflush(stdout);
    }
  }

  ReadRateProbe probe_;
  std::vector<std::unique_ptr<Machine>> machines_;
};

void Run() {
  OrDie(SetIsa(absl::GetFlag(FLAGS_isa)));
  int threads = absl::GetFlag(FLAGS_threads);
  if (threads <= 0) {
    threads = static_cast<int>(std::thread::hardware_concurrency());
  }
  std::printf("instruction set %s\n", ChosenIsa().c_str());
  LinearBenchmark benchmark(threads);
  const auto rows = Numbers(absl::GetFlag(FLAGS_rows));
  const auto tokens = Numbers(absl::GetFlag(FLAGS_tokens));
  for (const std::string& name : absl::GetFlag(FLAGS_dtypes)) {
    const DType dtype = ParseDType(name);
    if (!rows.empty()) {
      benchmark.RunDense(dtype, rows, absl::GetFlag(FLAGS_out),
                         absl::GetFlag(FLAGS_in));
    }
    if (!tokens.empty()) benchmark.RunExperts(dtype, tokens);
  }
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  moe::Run();
}
