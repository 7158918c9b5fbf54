#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <mutex>
#include <string>

#include "proto/moe/v1/control.grpc.pb.h"
#include "proto/moe/v1/generation.grpc.pb.h"

namespace moe {

// A server on a free loopback port that answers by script, without a model.
// Useful for testing clients. The prompt's text chooses the answer:
//   "bad"     INVALID_ARGUMENT with two field violations
//   "busy"    RESOURCE_EXHAUSTED with RetryInfo of 2.5 s
//   "broken"  one chunk, then UNAVAILABLE
//   "endless" chunks until the call is cancelled
//   others    "One, two." in three chunks of 1, 1 and 2 tokens, for each answer
class ScriptedServer {
 public:
  ScriptedServer();
  ~ScriptedServer();

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // The last request that came in.
  v1::GenerateRequest last_generate() const;
  v1::AbortRequest last_abort() const;
  // Waits until an endless call has sent a chunk, or has been cancelled.
  bool WaitForChunk() const;
  bool WaitForCancel() const;

 private:
  class InferenceService;
  class ControlService;

  std::unique_ptr<InferenceService> inference_;
  std::unique_ptr<ControlService> control_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace moe
