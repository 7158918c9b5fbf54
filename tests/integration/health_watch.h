#pragma once

#include <grpcpp/create_channel.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tools/client/health.grpc.pb.h"

namespace moe {

// A connection that shares nothing with others.
inline std::shared_ptr<grpc::Channel> Connect(int port) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port),
                                   grpc::InsecureChannelCredentials(),
                                   arguments);
}

// Watches health until it is not SERVING any more or the server has exited.
class HealthWatch {
 public:
  explicit HealthWatch(int port)
      : stub_(grpc::health::v1::Health::NewStub(Connect(port))) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    reader_ = stub_->Watch(&context_, {});
    grpc::health::v1::HealthCheckResponse response;
    serving_ =
        reader_->Read(&response) &&
        response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  }
  bool serving() const { return serving_; }
  // When it was notified.
  absl::Time AwaitNotServing() {
    grpc::health::v1::HealthCheckResponse response;
    while (reader_->Read(&response) &&
           response.status() ==
               grpc::health::v1::HealthCheckResponse::SERVING) {
    }
    const absl::Time told = absl::Now();
    context_.TryCancel();
    reader_->Finish();
    return told;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<grpc::health::v1::HealthCheckResponse>>
      reader_;
  bool serving_ = false;
};

}  // namespace moe
