#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "comm/host_communicator.h"

namespace moe {

// What a rank tells all others between two steps of loading.
struct RankReport {
  absl::Status status;  // why it cannot go on, or OK
  std::string host;
  std::string model;  // what it found at the checkpoint's path
  std::vector<int32_t> cpus;
  int64_t available_bytes = 0;  // of memory, on its machine; 0: unknown
  int64_t read_bytes = 0;       // of the checkpoint
  int64_t weight_bytes = 0;
  int64_t step_bytes = 0;  // that the rows of a step may take, at most
  int64_t num_blocks = 0;  // of KV cache that it can have
  int64_t num_threads = 0;
  double load_seconds = 0;

  std::string Serialize() const;
  // kInvalidArgument for anything that Serialize does not make.
  static absl::StatusOr<RankReport> Parse(absl::string_view bytes);
};

// The reports of all ranks, by rank; or, equal on all ranks, why the first one
// that failed did (not one that was merely given up with another), with its
// number and host; such an error IsAgreed. Collective; also the proof that all
// have come so far.
absl::StatusOr<std::vector<RankReport>> ExchangeReports(HostCommunicator& all,
                                                        const RankReport& own);

// Whether all ranks have come to this error together: it names the rank that is
// to blame, which need not be the one that tells it.
bool IsAgreed(const absl::Status& status);

}  // namespace moe
