#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "comm/topology.h"

namespace moe {

// What a rank starts with. All of it must be equal on all ranks.
struct BootstrapInfo {
  std::string version;          // of the program
  std::string build_id;         // of the binary (BuildId())
  std::string config_digest;    // of the configuration (DigestOf())
  int expected_world_size = 0;  // parallel.world_size; 0: any
  int expected_nodes = 0;       // parallel.nodes; 0: any
  // Pretend that consecutive ranks make such nodes.
  std::optional<NodeShape> node_shape;
  // A rank that is silent for longer has stopped.
  absl::Duration watchdog = absl::Seconds(10);
};

// What a rank tells the others: its host, and its facts or why it has none.
struct StartRecord {
  std::string host;
  absl::StatusOr<BootstrapInfo> facts;

  std::string Serialize() const;
  static absl::StatusOr<StartRecord> Parse(absl::string_view bytes);
};

// Compares the records of all ranks, of which element r is rank r's. The first
// problem found, which is why the job cannot start: a rank's own, or
// kFailedPrecondition naming the ranks, their hosts and what differs.
// `topology`: as the machines are.
absl::Status ValidateBootstrap(absl::Span<const StartRecord> ranks,
                        const Topology& topology);

}  // namespace moe
