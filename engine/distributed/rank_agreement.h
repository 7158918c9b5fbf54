#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "comm/host_communicator.h"

namespace moe {

// What a rank sends to all others after each stage of loading.
struct RankReport {
  absl::Status status;  // of the rank's last stage
  std::string host;
  std::string model;  // what it found at the checkpoint's path
  std::vector<int32_t> cpus;
  std::string cpu_quota_file;   // what bounds its CPU time; "": nothing
  int64_t available_bytes = 0;  // of memory, on its machine; 0: unknown
  int64_t read_bytes = 0;       // of the checkpoint
  int64_t weight_bytes = 0;
  int64_t step_bytes = 0;  // upper bound of a step's memory
  int64_t num_blocks = 0;  // of KV cache that fit
  int64_t num_threads = 0;
  double load_seconds = 0;

  std::string Serialize() const;
  // kInvalidArgument for anything that Serialize does not make.
  static absl::StatusOr<RankReport> Parse(absl::string_view bytes);
};

// Returns the reports of all ranks, by rank. If any rank reports an error,
// every rank returns the error of the first one that failed (one with kAborted
// only if there is no other), with its number and host; IsAgreed is true for
// it. Collective; acts as a barrier.
absl::StatusOr<std::vector<RankReport>> ExchangeReports(HostCommunicator& all,
                                                        const RankReport& own);

// True if all ranks have returned this error from ExchangeReports. Its message
// names the rank that failed, which may not be this one.
bool IsAgreed(const absl::Status& status);

}  // namespace moe
