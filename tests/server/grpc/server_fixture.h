#pragma once

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/status/status.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "tests/fakes/fake_engine.h"
#include "tests/server/grpc/test_server.h"

namespace moe {

// A gRPC server over a FakeEngine, with a request and a client.
class ServerFixture : public testing::Test {
 protected:
  ServerFixture() {
    SetDeadline(context_);
    request_.set_text("hi");
  }
  // Ends the requests that the test left running.
  ~ServerFixture() override {
    engine_.Shutdown(absl::UnavailableError("end of test"));
  }

  std::unique_ptr<grpc::ClientReader<v1::GenerateChunk>> Stream() {
    return server_.inference().GenerateStream(&context_, request_);
  }
  grpc::Status Generate(v1::GenerateResponse* response) {
    grpc::ClientContext context;
    SetDeadline(context);
    return server_.inference().Generate(&context, request_, response);
  }

  FakeEngine engine_;
  ByteTokenizer tokenizer_;
  TestServer server_{FakeServedModel(engine_, &tokenizer_)};
  grpc::ClientContext context_;  // of Stream
  v1::GenerateRequest request_;
};

}  // namespace moe
