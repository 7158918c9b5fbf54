// Measures how many bytes of a checkpoint each of several tensor ranks reads,
// and how fast: requested bytes (Checkpoint::bytes_read) and, if the files are
// not in the page cache, bytes read from the disk.
//
//   bazel run -c opt //tests/benchmarks/engine:sharded_read_benchmark -- DIR

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/config/index_range.h"
#include "engine/config/weight_inventory.h"
#include "engine/config/weight_slice.h"
#include "engine/loading/open_checkpoint.h"

namespace moe {
namespace {

// The slice of a weight on a tensor rank, with all experts.
WeightSlice SliceOf(const WeightSpec& spec, int rank, int ranks) {
  WeightSlice slice;
  if (ranks == 1) return slice;
  const int64_t rows = spec.dims[0];
  if (absl::StrContains(spec.name, "qkv")) {
    for (int64_t part = 0; part < 3; ++part) {
      const IndexRange range = PartitionRange(rows / 3, rank, ranks);
      slice.rows.push_back(
          {part * rows / 3 + range.begin, part * rows / 3 + range.end});
    }
  } else if (absl::EndsWith(spec.name, "out.weight") ||
             absl::EndsWith(spec.name, "down.weight")) {
    slice.columns = PartitionRange(spec.dims[1], rank, ranks);
  } else if (absl::StrContains(spec.name, ".up.") ||
             spec.name == "embedding.weight" || spec.name == "output.weight") {
    slice.rows.push_back(PartitionRange(rows, rank, ranks));
  }
  return slice;
}

// Drops the files from the page cache.
void Evict(const std::string& directory) {
  std::error_code none;  // opening reports missing files
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(directory, none)) {
    const int fd = open(entry.path().c_str(), O_RDONLY);
    if (fd < 0) continue;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

// Bytes that the kernel fetched from storage for this process.
int64_t FetchedBytes() {
  std::ifstream io("/proc/self/io");
  std::string key;
  int64_t value = 0;
  while (io >> key >> value) {
    if (key == "read_bytes:") return value;
  }
  return 0;
}

void Measure(const std::string& directory, int rank, int ranks, bool cold) {
  if (cold) Evict(directory);
  const int64_t fetched = FetchedBytes();
  const absl::Time start = absl::Now();
  CheckpointOptions options;
  options.rank = rank;
  options.num_ranks = ranks;
  const auto checkpoint = OpenCheckpoint(directory, options);
  if (!checkpoint.ok()) {
    std::fprintf(stderr, "%s\n", checkpoint.status().ToString().c_str());
    std::exit(1);
  }
  uint64_t touched = 0;
  for (const WeightSpec& spec :
       WeightInventory((*checkpoint)->config()).All()) {
    const WeightSlice slice = SliceOf(spec, rank, ranks);
    const auto weight = slice.whole()
                            ? (*checkpoint)->Get(spec.name)
                            : (*checkpoint)->GetShard(spec.name, slice);
    if (!weight.ok()) {
      std::fprintf(stderr, "%s\n", weight.status().ToString().c_str());
      std::exit(1);
    }
    touched += weight->view.ptr<unsigned char>()[0];
  }
  std::printf("%5d %5d  %-5s %12.1f %12.1f %9.2f%s\n", ranks, rank,
              cold ? "disk" : "cache",
              static_cast<double>((*checkpoint)->bytes_read()) / 1e6,
              static_cast<double>(FetchedBytes() - fetched) / 1e6,
              absl::ToDoubleSeconds(absl::Now() - start),
              touched == 1 ? " " : "");
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CHECKPOINT_DIRECTORY\n", argv[0]);
    return 2;
  }
  std::printf("ranks  rank  from    asked [MB] fetched [MB]  time [s]\n");
  for (const int ranks : {1, 2, 4, 8}) {
    for (const int rank : {0, ranks - 1}) {
      for (const bool cold : {true, false}) {
        moe::Measure(argv[1], rank, ranks, cold);
      }
      if (ranks == 1) break;
    }
  }
  return 0;
}
