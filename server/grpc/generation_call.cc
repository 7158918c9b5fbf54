#include "server/grpc/generation_call.h"

#include <grpcpp/server_context.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/chunks/chunk_writer.h"
#include "server/chunks/response_builder.h"
#include "server/generation/generation_stream.h"
#include "server/generation/request_errors.h"
#include "server/generation/work_queue.h"
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
  call.abandoned = [&context] { return context.IsCancelled(); };
  return call;
}

// Parses the request in `bytes` and starts it.
absl::StatusOr<std::shared_ptr<GenerationStream>> Start(
    grpc::CallbackServerContext& context, const grpc::ByteBuffer& bytes,
    InferenceCore& core, bool one_message, ChunkWriter& writer) {
  v1::GenerateRequest request;
  InferenceCore::Call call = DescribeCall(context);
  call.one_message = one_message;
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

// The stream of a call, which may be started on another thread than the one
// that hears of cancellations and writes. Thread-safe.
class StreamSlot {
 public:
  // Call it once; null if the request was refused.
  void Set(std::shared_ptr<GenerationStream> stream) {
    bool cancelled;
    {
      std::lock_guard lock(mutex_);
      stream_ = stream;
      is_set_ = true;
      cancelled = cancelled_;
    }
    set_.notify_all();
    if (cancelled && stream != nullptr) stream->Cancel();
  }

  // Cancels the stream, now or once it is set.
  void Cancel() {
    std::shared_ptr<GenerationStream> stream;
    {
      std::lock_guard lock(mutex_);
      cancelled_ = true;
      stream = stream_;
    }
    if (stream != nullptr) stream->Cancel();
  }

  // Waits until it is set. A stream may write a moment before.
  std::shared_ptr<GenerationStream> Wait() {
    std::unique_lock lock(mutex_);
    set_.wait(lock, [this] { return is_set_; });
    return stream_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable set_;
  bool is_set_ = false;  // guarded by mutex_, as are those below
  bool cancelled_ = false;
  std::shared_ptr<GenerationStream> stream_;  // shared with the engine
};

// Starts the request in `bytes` for `reactor`, which is its writer and may
// delete itself at once, and sets `slot`. On an error finishes the call.
template <typename Reactor>
void StartNow(grpc::CallbackServerContext* context,
              const grpc::ByteBuffer* bytes, InferenceCore& core,
              Reactor& reactor, StreamSlot& slot) {
  auto stream = Start(*context, *bytes, core, Reactor::kOneMessage, reactor);
  slot.Set(stream.ok() ? *stream : nullptr);
  if (!stream.ok()) reactor.Finish(ToGrpcStatus(stream.status()));
}

// The same on a thread of `queue`, if there is one.
template <typename Reactor>
void StartOn(WorkQueue* queue, grpc::CallbackServerContext* context,
             const grpc::ByteBuffer* bytes, InferenceCore& core,
             Reactor& reactor, const std::shared_ptr<StreamSlot>& slot) {
  if (queue == nullptr) return StartNow(context, bytes, core, reactor, *slot);
  const auto abandoned = [context] { return context->IsCancelled(); };
  const auto refuse = [=, &core, &reactor](const absl::Status& status) {
    slot->Set(nullptr);
    core.LogRefused("", status);
    reactor.Finish(
        ToGrpcStatus(WithRetryInfo(status, core.model().limits.retry_delay)));
  };
  const absl::Status added = queue->Add(
      {static_cast<int64_t>(bytes->Length()), abandoned, [=, &core, &reactor] {
         if (abandoned()) {
           return refuse(absl::CancelledError(
               "the client left before its prompt was read"));
         }
         StartNow(context, bytes, core, reactor, *slot);
       }});
  if (!added.ok()) refuse(added);
}

class UnaryGeneration : public grpc::ServerUnaryReactor, public ChunkWriter {
 public:
  static constexpr bool kOneMessage = true;

  UnaryGeneration(grpc::CallbackServerContext* context,
                  const grpc::ByteBuffer* request, grpc::ByteBuffer* response,
                  InferenceCore& core, WorkQueue* queue)
      : core_(core), response_(response) {
    core_.BeginCall();
    // May delete this.
    StartOn(queue, context, request, core, *this, stream_);
  }

  bool Write(v1::GenerateChunk chunk) override {
    result_.Add(std::move(chunk));
    return false;
  }

  // InferenceCore admits no request whose answer could be too long; this makes
  // sure that a client never gets an error without a reason.
  absl::Status StatusToSend(const absl::Status& status) override {
    if (!status.ok()) return status;
    *response_ = SerializeMessage(result_.response());
    const int64_t num_bytes = response_->Length();
    if (num_bytes <= core_.model().limits.max_message_bytes) return status;
    return absl::ResourceExhaustedError(absl::StrCat(
        "the answer takes ", num_bytes,
        " bytes, and server.max_message_bytes is ",
        core_.model().limits.max_message_bytes, ": use GenerateStream"));
  }

  void End(const absl::Status& status) override {
    Finish(ToGrpcStatus(status));
  }

  void OnCancel() override { stream_->Cancel(); }
  void OnDone() override {
    core_.EndCall();
    delete this;
  }

 private:
  InferenceCore& core_;
  grpc::ByteBuffer* response_;
  ResponseBuilder result_;
  // Shared with the thread that starts it.
  const std::shared_ptr<StreamSlot> stream_ = std::make_shared<StreamSlot>();
};

class StreamedGeneration : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public ChunkWriter {
 public:
  static constexpr bool kOneMessage = false;

  StreamedGeneration(grpc::CallbackServerContext* context,
                     const grpc::ByteBuffer* request, InferenceCore& core,
                     WorkQueue* queue)
      : core_(core) {
    core_.BeginCall();
    StartOn(queue, context, request, core, *this, stream_);
  }

  bool Write(v1::GenerateChunk chunk) override {
    buffer_ = SerializeMessage(chunk);
    StartWrite(&buffer_);
    return true;
  }

  void End(const absl::Status& status) override {
    Finish(ToGrpcStatus(status));
  }

  void OnWriteDone(bool ok) override { stream_->Wait()->OnWritten(ok); }
  void OnCancel() override { stream_->Cancel(); }
  void OnDone() override {
    core_.EndCall();
    delete this;
  }

 private:
  InferenceCore& core_;
  grpc::ByteBuffer buffer_;  // of the running write
  // Shared with the thread that starts it.
  const std::shared_ptr<StreamSlot> stream_ = std::make_shared<StreamSlot>();
};

}  // namespace

grpc::ServerUnaryReactor* AnswerGenerate(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response,
                                         InferenceCore& core,
                                         WorkQueue* queue) {
  return new UnaryGeneration(context, request, response, core, queue);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* AnswerGenerateStream(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    InferenceCore& core, WorkQueue* queue) {
  return new StreamedGeneration(context, request, core, queue);
}

}  // namespace moe
