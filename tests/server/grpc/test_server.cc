#include "tests/server/grpc/test_server.h"

#include <gtest/gtest.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "proto/rpc/error_details.pb.h"

namespace moe {
namespace {

constexpr std::chrono::seconds kWaitTimeout(30);

}  // namespace

TestServer::TestServer(ServedModel model, ListenConfig config)
    : core_([&] {
        model.limits.max_message_bytes = config.max_message_bytes;
        return model;
      }()) {
  config.port = 0;
  auto server = GrpcServer::Start(config, core_);
  if (!server.ok()) {
    ADD_FAILURE() << server.status();
    return;
  }
  server_ = *std::move(server);
  const auto channel = NewChannel();
  inference_ = v1::Inference::NewStub(channel);
  control_ = v1::Control::NewStub(channel);
  health_ = grpc::health::v1::Health::NewStub(channel);
}

std::string TestServer::target() const {
  return absl::StrCat("127.0.0.1:", server_->port());
}

std::shared_ptr<grpc::Channel> TestServer::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target(), grpc::InsecureChannelCredentials(),
                                   arguments);
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kWaitTimeout);
}

StreamResult ReadAll(grpc::ClientReader<v1::GenerateChunk>& reader) {
  StreamResult result;
  v1::GenerateChunk chunk;
  while (reader.Read(&chunk)) {
    if (result.num_chunks++ == 0) result.request_id = chunk.request_id();
    result.text += chunk.text();
    result.num_finishes += chunk.has_finish();
  }
  result.status = reader.Finish();
  return result;
}

bool HasDetail(const grpc::Status& status, const std::string& name) {
  rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return false;
  for (const rpc::Any& detail : details.details()) {
    if (detail.type_url() == "type.googleapis.com/google.rpc." + name) {
      return true;
    }
  }
  return false;
}

}  // namespace moe
