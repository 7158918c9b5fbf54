#include "server/grpc/generation_call.h"

#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/generation/chunk_writer.h"
#include "server/generation/generation_stream.h"
#include "server/generation/response_builder.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/message_codec.h"

namespace moe {
namespace {

constexpr char kRequestIdKey[] = "x-request-id";

InferenceCore::Call DescribeCall(const grpc::CallbackServerContext& context) {
  InferenceCore::Call call;
  const auto& metadata = context.client_metadata();
  const auto id = metadata.find(kRequestIdKey);
  if (id != metadata.end()) {
    call.metadata_request_id.assign(id->second.data(), id->second.size());
  }
  const auto deadline = context.deadline();
  if (deadline != std::chrono::system_clock::time_point::max()) {
    // The only time that comes as one; from here on by the steady clock.
    call.deadline = SteadyNow() + (absl::FromChrono(deadline) - absl::Now());
  }
  return call;
}

// Parses the request in `bytes` and starts it.
absl::StatusOr<std::shared_ptr<GenerationStream>> Start(
    grpc::CallbackServerContext& context, const grpc::ByteBuffer& bytes,
    InferenceCore& core, ChunkWriter& writer) {
  v1::GenerateRequest request;
  const InferenceCore::Call call = DescribeCall(context);
  const absl::Status parsed = ParseMessage(bytes, &request);
  const absl::StatusOr<std::string> request_id =
      parsed.ok() ? core.MakeRequestId(request.request_id(), call)
                  : absl::StatusOr<std::string>(parsed);
  if (!request_id.ok()) {
    core.LogRefused("", request_id.status());
    return request_id.status();
  }
  context.AddInitialMetadata(kRequestIdKey, *request_id);
  return core.Start(request, *request_id, call, writer);
}

// Starts the request in `bytes` for `reactor`, which is its writer. On an error
// finishes the call and returns null.
template <typename Reactor>
std::shared_ptr<GenerationStream> StartOrFinish(
    grpc::CallbackServerContext& context, const grpc::ByteBuffer& bytes,
    InferenceCore& core, Reactor& reactor) {
  auto stream = Start(context, bytes, core, reactor);
  if (stream.ok()) return *std::move(stream);
  reactor.Finish(ToGrpcStatus(stream.status()));
  return nullptr;
}

// gRPC calls OnCancel, OnWriteDone and OnDone only after the method that made
// the reactor has returned: stream_ is then set.

class UnaryGeneration : public grpc::ServerUnaryReactor, public ChunkWriter {
 public:
  UnaryGeneration(grpc::CallbackServerContext* context,
                  const grpc::ByteBuffer* request, grpc::ByteBuffer* response,
                  InferenceCore& core)
      : response_(response) {
    stream_ = StartOrFinish(*context, *request, core, *this);
  }

  bool Write(v1::GenerateChunk chunk) override {
    result_.Add(std::move(chunk));
    return false;
  }

  void End(const absl::Status& status) override {
    if (status.ok()) *response_ = SerializeMessage(result_.response());
    Finish(ToGrpcStatus(status));
  }

  void OnCancel() override {
    if (stream_ != nullptr) stream_->Cancel();
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer* response_;
  ResponseBuilder result_;
  std::shared_ptr<GenerationStream> stream_;  // shared with the engine
};

class StreamedGeneration : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public ChunkWriter {
 public:
  StreamedGeneration(grpc::CallbackServerContext* context,
                     const grpc::ByteBuffer* request, InferenceCore& core) {
    stream_ = StartOrFinish(*context, *request, core, *this);
  }

  bool Write(v1::GenerateChunk chunk) override {
    buffer_ = SerializeMessage(chunk);
    StartWrite(&buffer_);
    return true;
  }

  void End(const absl::Status& status) override {
    Finish(ToGrpcStatus(status));
  }

  void OnWriteDone(bool ok) override { stream_->OnWritten(ok); }
  void OnCancel() override {
    if (stream_ != nullptr) stream_->Cancel();
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer buffer_;                   // of the running write
  std::shared_ptr<GenerationStream> stream_;  // shared with the engine
};

}  // namespace

grpc::ServerUnaryReactor* AnswerGenerate(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response,
                                         InferenceCore& core) {
  return new UnaryGeneration(context, request, response, core);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* AnswerGenerateStream(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    InferenceCore& core) {
  return new StreamedGeneration(context, request, core);
}

}  // namespace moe
