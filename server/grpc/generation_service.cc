#include "server/grpc/generation_service.h"

#include <grpcpp/support/server_callback.h>

#include "absl/status/statusor.h"
#include "kernels/core/status_macros.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "server/generation/model_description.h"
#include "server/generation/serial_executor.h"
#include "server/generation/tokenization.h"
#include "server/grpc/generation_call.h"
#include "server/grpc/unary_call.h"

namespace moe {
namespace {

using v1::Inference;

// Text up to this length is tokenized on gRPC's thread. Longer text can take
// seconds, and gRPC may have only two threads for all calls, health checks
// included.
constexpr size_t kMaxInlineBytes = 64 << 10;

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
  GenerationService(InferenceCore& core, int64_t max_message_bytes)
      : core_(core), max_message_bytes_(max_message_bytes) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    return AnswerGenerate(context, request, response, core_);
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateStream(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override {
    return AnswerGenerateStream(context, request, core_);
  }

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const auto finish = [=, this] {
      FinishUnary<v1::TokenizeRequest>(
          reactor, request, response,
          [&](const v1::TokenizeRequest& message)
              -> absl::StatusOr<v1::TokenizeResponse> {
            ASSIGN_OR_RETURN(const ServedModel* model,
                             core_.FindModel(message.model()));
            return moe::Tokenize(*model, message, max_message_bytes_);
          });
    };
    if (request->Length() <= kMaxInlineBytes) {
      finish();
    } else {
      long_calls_.Schedule(finish);
    }
    return reactor;
  }

  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::DetokenizeRequest>(
        context, request, response,
        [this](const v1::DetokenizeRequest& message)
            -> absl::StatusOr<v1::DetokenizeResponse> {
          ASSIGN_OR_RETURN(const ServedModel* model,
                           core_.FindModel(message.model()));
          return moe::Detokenize(*model, message);
        });
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
  InferenceCore& core_;
  const int64_t max_message_bytes_;
  SerialExecutor long_calls_;  // Tokenize with long text
};

}  // namespace

std::unique_ptr<grpc::Service> MakeGenerationService(
    InferenceCore& core, int64_t max_message_bytes) {
  return std::make_unique<GenerationService>(core, max_message_bytes);
}

}  // namespace moe
