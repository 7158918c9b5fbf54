#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/parallel/parallel_options.h"
#include "proto/config.pb.h"
#include "server/config/config_section.h"

namespace moe {

// What moe.config.Parallel says, validated, with defaults in place. Plain data.
struct ParallelConfig {
  ParallelOptions options;
  // Ranks and machines that there must be; 0: any number.
  int world_size = 0;
  int nodes = 0;
  // For the ranks to find each other.
  absl::Duration connect_timeout = absl::Minutes(1);
};

// `section` is that of `proto`. kInvalidArgument naming line and field.
absl::StatusOr<ParallelConfig> ReadParallel(const config::Parallel& proto,
                                            const ConfigSection& section);

}  // namespace moe
