#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/config/listen_config.h"
#include "server/generation/inference_core.h"

namespace moe {

// Serves Inference, Control, grpc.health.v1 and reflection on one port. The
// health of "" and "moe.v1.Inference" follows InferenceCore::CheckReady: at
// once when the core changes it, else within kHealthInterval. Thread-safe.
class GrpcServer {
 public:
  static constexpr absl::Duration kHealthInterval = absl::Milliseconds(100);

  // Listens. kInvalidArgument for TLS files that do not work, kUnavailable if
  // the address is not available. `core` must outlive the server.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const ListenConfig& config, InferenceCore& core);

  // Checks that Start can listen: opens the port with the TLS files and closes
  // it again. Returns the errors of Start.
  static absl::Status Check(const ListenConfig& config);

  virtual ~GrpcServer() = default;

  virtual int port() const = 0;

  // Refuses new calls, waits up to `grace` for running ones, then cancels them.
  // The server cannot be used again.
  virtual void Shutdown(absl::Duration grace) = 0;
};

}  // namespace moe
