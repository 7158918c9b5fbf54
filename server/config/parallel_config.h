#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/parallel/parallel_options.h"
#include "proto/config.pb.h"
#include "server/config/config_section.h"

namespace moe {

// The values of moe.config.Parallel, validated, with defaults filled in. Plain
// data.
struct ParallelConfig {
  ParallelOptions options;
  // Required numbers of ranks and machines; 0: any number.
  int world_size = 0;
  int nodes = 0;
  // Longest time until all ranks have found each other.
  absl::Duration connect_timeout = absl::Minutes(1);
};

// `section`: of `proto`. kInvalidArgument that names line and field.
absl::StatusOr<ParallelConfig> ReadParallel(const config::Parallel& proto,
                                            const ConfigSection& section);

}  // namespace moe
