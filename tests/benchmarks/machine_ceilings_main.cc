// Measures this machine's memory read rate and its peak of float32 arithmetic,
// with one thread and with all.
//   bazel run //tests/benchmarks:machine_ceilings -- [--json] [--threads=N]
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "kernels/core/cpu_features.h"
#include "tests/benchmarks/machine_ceilings.h"

ABSL_FLAG(bool, json, false, "print one JSON object instead of a table");
ABSL_FLAG(int, threads, 0, "most threads; 0: as many as there are CPUs");

namespace moe {
namespace {

struct Row {
  int threads;
  RateSamples read, fma;
};

void PrintJson(const std::vector<Row>& rows, size_t buffer_bytes) {
  std::printf("{\"isa\": \"%s\", \"buffer_bytes\": %zu, \"ceilings\": [",
              ChosenIsa().c_str(), buffer_bytes);
  const char* separator = "";
  for (const Row& row : rows) {
    std::printf(
        "%s{\"threads\": %d, \"read_bytes_per_s\": %.4g, "
        "\"read_bytes_per_s_median\": %.4g, \"fma_flop_per_s\": %.4g, "
        "\"fma_flop_per_s_median\": %.4g}",
        separator, row.threads, row.read.best(), row.read.median(),
        row.fma.best(), row.fma.median());
    separator = ", ";
  }
  std::printf("]}\n");
}

void PrintTable(const std::vector<Row>& rows, size_t buffer_bytes) {
  std::printf("instruction set %s, reading %zu MiB\n", ChosenIsa().c_str(),
              buffer_bytes >> 20);
  std::printf("threads  read GB/s best (median)  FMA GFLOP/s best (median)\n");
  for (const Row& row : rows) {
    std::printf("%7d  %14.1f (%6.1f)  %16.1f (%6.1f)\n", row.threads,
                row.read.best() / 1e9, row.read.median() / 1e9,
                row.fma.best() / 1e9, row.fma.median() / 1e9);
  }
}

void Run() {
  int most = absl::GetFlag(FLAGS_threads);
  if (most <= 0) most = static_cast<int>(std::thread::hardware_concurrency());
  std::vector<Row> rows = {{1, {}, {}}};
  if (most > 1) rows.push_back({most, {}, {}});
  ReadRateProbe probe;
  for (int pass = 0; pass < 7; ++pass) {
    for (Row& row : rows) {
      ThreadPool threads(row.threads);
      row.read.Add(probe.Run(threads));
      for (int i = 0; i < 5; ++i) row.fma.Add(MeasureFmaRate(threads));
    }
  }
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(rows, probe.num_bytes());
  } else {
    PrintTable(rows, probe.num_bytes());
  }
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  moe::Run();
}
