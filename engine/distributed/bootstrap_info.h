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
  // Treat consecutive ranks as nodes of this shape, whatever the machines are.
  std::optional<NodeShape> node_shape;
  // A rank whose heartbeat is older than this has failed.
  absl::Duration watchdog = absl::Seconds(10);
};

// What a rank sends to all others: its host, and its BootstrapInfo or the error
// that keeps it from starting.
struct BootstrapRecord {
  std::string host;
  std::string pid_namespace;  // "": unknown
  absl::StatusOr<BootstrapInfo> info;

  std::string Serialize() const;
  static absl::StatusOr<BootstrapRecord> Parse(absl::string_view bytes);
};

// Compares the records of all ranks; element r is rank r's. Returns the first
// problem found: a rank's own error, or kFailedPrecondition that names the
// ranks, their hosts and what differs. `topology`: that of the machines.
absl::Status ValidateBootstrap(absl::Span<const BootstrapRecord> ranks,
                               const Topology& topology);

}  // namespace moe
