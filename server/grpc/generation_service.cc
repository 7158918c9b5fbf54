#include "server/grpc/generation_service.h"

#include <grpcpp/support/server_callback.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "server/generation/model_description.h"
#include "server/generation/serial_executor.h"
#include "server/grpc/generation_call.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/unary_call.h"

namespace moe {
namespace {

using v1::Inference;

// Text up to this length is tokenized at once. A document takes seconds, and
// gRPC has as few as two threads for all calls, health included.
constexpr size_t kMaxInlineBytes = 64 << 10;

// Tokenize answers with an id and the bytes of each token: some 2.5 bytes for
// each of common text, at most 7 or so.
constexpr int64_t kAnswerBytesPerTextByte = 4;

// Every method takes raw bytes: message_codec.h says why.
using RawService = Inference::WithRawCallbackMethod_Generate<
    Inference::WithRawCallbackMethod_GenerateStream<
        Inference::WithRawCallbackMethod_Tokenize<
            Inference::WithRawCallbackMethod_Detokenize<
                Inference::WithRawCallbackMethod_GetModel<
                    Inference::WithRawCallbackMethod_ListModels<
                        Inference::Service>>>>>>;

absl::StatusOr<const Tokenizer*> FindTokenizer(const InferenceCore& core,
                                               const std::string& model_name) {
  ASSIGN_OR_RETURN(const ServedModel* model, core.FindModel(model_name));
  if (model->tokenizer != nullptr) return model->tokenizer;
  return absl::FailedPreconditionError(
      absl::StrCat("model \"", model->name, "\" has no tokenizer"));
}

absl::StatusOr<v1::TokenizeResponse> Tokenize(
    const InferenceCore& core, const v1::TokenizeRequest& request,
    int64_t max_message_bytes) {
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer,
                   FindTokenizer(core, request.model()));
  const int64_t max_bytes = max_message_bytes / kAnswerBytesPerTextByte;
  if (static_cast<int64_t>(request.text().size()) > max_bytes) {
    return FieldViolation(
        "text", absl::StrCat("has ", request.text().size(), " bytes; at most ",
                             max_bytes,
                             " are taken, since the answer is longer and "
                             "must fit server.max_message_bytes, ",
                             max_message_bytes));
  }
  const absl::StatusOr<Encoding> encoding =
      tokenizer->Encode(request.text(), {});
  if (absl::IsInvalidArgument(encoding.status())) {
    return FieldViolation("text", encoding.status().message());
  }
  RETURN_IF_ERROR(encoding.status());
  v1::TokenizeResponse response;
  for (const int32_t id : encoding->ids) {
    response.add_token_ids(id);
    const absl::string_view bytes = tokenizer->TokenBytes(id);
    response.add_tokens(std::string(bytes));
  }
  const int64_t num_bytes = response.ByteSizeLong();
  if (num_bytes > max_message_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the ", encoding->ids.size(), " tokens take ", num_bytes,
                     " bytes, and server.max_message_bytes is ",
                     max_message_bytes, ": send the text in parts"));
  }
  return response;
}

absl::StatusOr<v1::DetokenizeResponse> Detokenize(
    const InferenceCore& core, const v1::DetokenizeRequest& request) {
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer,
                   FindTokenizer(core, request.model()));
  std::vector<int32_t> ids;
  ids.reserve(request.token_ids_size());
  for (int i = 0; i < request.token_ids_size(); ++i) {
    const uint32_t id = request.token_ids(i);
    if (id > std::numeric_limits<int32_t>::max() || !tokenizer->IsToken(id)) {
      return FieldViolation(absl::StrCat("token_ids[", i, "]"),
                            absl::StrCat("is ", id, ", which is no token"));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  v1::DetokenizeResponse response;
  ASSIGN_OR_RETURN(*response.mutable_text(),
                   tokenizer->Decode(ids, /*skip_special_tokens=*/false));
  return response;
}

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
          reactor, request, response, [&](const v1::TokenizeRequest& message) {
            return moe::Tokenize(core_, message, max_message_bytes_);
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
        [this](const v1::DetokenizeRequest& message) {
          return moe::Detokenize(core_, message);
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
  SerialExecutor long_calls_;  // of Tokenize
};

}  // namespace

std::unique_ptr<grpc::Service> MakeGenerationService(
    InferenceCore& core, int64_t max_message_bytes) {
  return std::make_unique<GenerationService>(core, max_message_bytes);
}

}  // namespace moe
