#include "server/grpc/generation_service.h"

#include <grpcpp/support/server_callback.h>

#include "absl/status/statusor.h"
#include "kernels/core/status_macros.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "server/generation/model_description.h"
#include "server/generation/tokenization.h"
#include "server/generation/work_queue.h"
#include "server/grpc/generation_call.h"
#include "server/grpc/unary_call.h"
#include "server/text/stop_signal.h"

namespace moe {
namespace {

using v1::Inference;

// Requests up to this length are answered on gRPC's thread. Longer text can
// take seconds, and gRPC may have only two threads for all calls, health checks
// included.
constexpr size_t kMaxInlineBytes = 64 << 10;
// The same for token ids: two bytes can stand for hundreds of bytes of text.
constexpr size_t kMaxInlineIdBytes = 8 << 10;

// Longest messages that may wait for the queue's threads.
constexpr int64_t kMaxWaitingMessages = 8;

// Methods take raw bytes; message_codec.h explains why.
using RawService = Inference::WithRawCallbackMethod_Generate<
    Inference::WithRawCallbackMethod_GenerateStream<
        Inference::WithRawCallbackMethod_Tokenize<
            Inference::WithRawCallbackMethod_Detokenize<
                Inference::WithRawCallbackMethod_GetModel<
                    Inference::WithRawCallbackMethod_ListModels<
                        Inference::Service>>>>>>;

class GenerationService : public RawService {
 public:
  explicit GenerationService(InferenceCore& core)
      : core_(core),
        long_calls_({.max_bytes = kMaxWaitingMessages *
                                  core.model().limits.max_message_bytes}) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    return AnswerGenerate(context, request, response, core_,
                          QueueFor(*request));
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateStream(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override {
    return AnswerGenerateStream(context, request, core_, QueueFor(*request));
  }

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    const auto tokenize =
        [this](const v1::TokenizeRequest& message,
               StopSignal* stop) -> absl::StatusOr<v1::TokenizeResponse> {
      ASSIGN_OR_RETURN(const ServedModel* model,
                       core_.FindModel(message.model()));
      return moe::Tokenize(*model, message, stop);
    };
    return AnswerText<v1::TokenizeRequest>(kMaxInlineBytes, context, request,
                                           response, tokenize);
  }

  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override {
    const auto detokenize =
        [this](const v1::DetokenizeRequest& message,
               StopSignal* stop) -> absl::StatusOr<v1::DetokenizeResponse> {
      ASSIGN_OR_RETURN(const ServedModel* model,
                       core_.FindModel(message.model()));
      return moe::Detokenize(*model, message, stop);
    };
    return AnswerText<v1::DetokenizeRequest>(kMaxInlineIdBytes, context,
                                             request, response, detokenize);
  }

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::GetModelRequest>(
        context, request, response,
        [this](
            const v1::GetModelRequest& message) -> absl::StatusOr<v1::Model> {
          ASSIGN_OR_RETURN(const ServedModel* model,
                           core_.FindModel(message.model()));
          return DescribeModel(*model);
        });
  }

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::ListModelsRequest>(
        context, request, response,
        [this](const v1::ListModelsRequest&)
            -> absl::StatusOr<v1::ListModelsResponse> {
          v1::ListModelsResponse list;
          *list.add_models() = DescribeModel(core_.model());
          return list;
        });
  }

 private:
  template <typename Request, typename Answer>
  grpc::ServerUnaryReactor* AnswerText(size_t max_inline_bytes,
                                       grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response,
                                       const Answer& answer) {
    if (request->Length() > max_inline_bytes) {
      return AnswerUnaryOn<Request>(long_calls_,
                                    core_.model().limits.retry_delay, context,
                                    request, response, answer);
    }
    return AnswerUnary<Request>(
        context, request, response,
        [&](const Request& message) { return answer(message, nullptr); });
  }

  // Where a generation call is started; null: on gRPC's thread.
  WorkQueue* QueueFor(const grpc::ByteBuffer& request) {
    return request.Length() > kMaxInlineBytes ? &long_calls_ : nullptr;
  }

  InferenceCore& core_;
  WorkQueue long_calls_;  // calls with long text or many token ids
};

}  // namespace

std::unique_ptr<grpc::Service> MakeGenerationService(InferenceCore& core) {
  return std::make_unique<GenerationService>(core);
}

}  // namespace moe
