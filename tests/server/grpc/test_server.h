#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>

#include <memory>
#include <string>

#include "proto/moe/v1/control.grpc.pb.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "server/generation/inference_core.h"
#include "server/grpc/grpc_server.h"
#include "tools/client/health.grpc.pb.h"

namespace moe {

// A server on a free port of this host, with clients. The model's engine must
// outlive it.
class TestServer {
 public:
  explicit TestServer(ServedModel model, ListenConfig config = {});

  InferenceCore& core() { return core_; }
  GrpcServer& server() { return *server_; }
  v1::Inference::Stub& inference() { return *inference_; }
  v1::Control::Stub& control() { return *control_; }
  grpc::health::v1::Health::Stub& health() { return *health_; }
  std::string target() const;

  // A stub with its own connection.
  std::shared_ptr<grpc::Channel> NewChannel() const;

 private:
  InferenceCore core_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<v1::Inference::Stub> inference_;
  std::unique_ptr<v1::Control::Stub> control_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

// A deadline far longer than any call in the tests.
void SetDeadline(grpc::ClientContext& context);

// The joined content of a stream.
struct StreamResult {
  grpc::Status status;
  std::string request_id;
  std::string text;  // of all answers
  int num_chunks = 0;
  int num_finishes = 0;
};
StreamResult ReadAll(grpc::ClientReader<v1::GenerateChunk>& reader);

// True if `status` has a detail of this google.rpc type.
bool HasDetail(const grpc::Status& status, const std::string& name);

}  // namespace moe
