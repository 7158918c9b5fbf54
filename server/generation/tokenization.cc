#include "server/generation/tokenization.h"

#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/core/status_macros.h"
#include "server/generation/request_errors.h"
#include "server/text/stop_signal.h"
#include "server/text/tokenizer.h"

namespace moe {
namespace {

// Tokenize answers with an id and the bytes of each token: about 2.5 bytes for
// each byte of common text, and about 7 at most.
constexpr int64_t kAnswerBytesPerTextByte = 4;

absl::StatusOr<const Tokenizer*> TokenizerOf(const ServedModel& model) {
  if (model.tokenizer != nullptr) return model.tokenizer;
  return absl::FailedPreconditionError(
      absl::StrCat("model \"", model.name, "\" has no tokenizer"));
}

}  // namespace

absl::StatusOr<v1::TokenizeResponse> Tokenize(
    const ServedModel& model, const v1::TokenizeRequest& request,
    StopSignal* stop) {
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer, TokenizerOf(model));
  const int64_t max_message_bytes = model.limits.max_message_bytes;
  const int64_t max_bytes = max_message_bytes / kAnswerBytesPerTextByte;
  if (static_cast<int64_t>(request.text().size()) > max_bytes) {
    return FieldViolation(
        "text", absl::StrCat("has ", request.text().size(), " bytes; at most ",
                             max_bytes,
                             " are taken, since the answer is longer and "
                             "must fit server.max_message_bytes, ",
                             max_message_bytes));
  }
  EncodeOptions options = EncodeOptionsOf(request);
  options.stop = stop;
  const absl::StatusOr<Encoding> encoding =
      tokenizer->Encode(request.text(), options);
  if (absl::IsInvalidArgument(encoding.status())) {
    return FieldViolation("text", encoding.status().message());
  }
  RETURN_IF_ERROR(encoding.status());
  v1::TokenizeResponse response;
  response.set_dropped_bytes(
      static_cast<uint64_t>(encoding->num_dropped_bytes));
  for (const int32_t id : encoding->ids) {
    RETURN_IF_ERROR(StopSignal::Check(stop));
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
    const ServedModel& model, const v1::DetokenizeRequest& request,
    StopSignal* stop) {
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer, TokenizerOf(model));
  const int64_t max_message_bytes = model.limits.max_message_bytes;
  // Few bytes of ids can stand for much text: add up before decoding.
  int64_t num_bytes = 0;
  for (int i = 0; i < request.token_ids_size(); ++i) {
    RETURN_IF_ERROR(StopSignal::Check(stop));
    const uint32_t id = request.token_ids(i);
    if (id > std::numeric_limits<int32_t>::max() || !tokenizer->IsToken(id)) {
      return FieldViolation(absl::StrCat("token_ids[", i, "]"),
                            absl::StrCat("is ", id, ", which is no token"));
    }
    num_bytes += tokenizer->TokenBytes(static_cast<int32_t>(id)).size();
  }
  if (num_bytes > max_message_bytes) {
    return FieldViolation("token_ids",
                          absl::StrCat("are ", request.token_ids_size(),
                                       " tokens with ", num_bytes,
                                       " bytes of text; the answer must fit "
                                       "server.max_message_bytes, ",
                                       max_message_bytes));
  }
  // The ids are below 2^31, and this saves a copy of them.
  const absl::Span<const int32_t> ids(
      reinterpret_cast<const int32_t*>(request.token_ids().data()),
      request.token_ids_size());
  v1::DetokenizeResponse response;
  ASSIGN_OR_RETURN(*response.mutable_text(),
                   tokenizer->Decode(ids, /*skip_special_tokens=*/false));
  const int64_t answer_bytes = response.ByteSizeLong();
  if (answer_bytes > max_message_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the text takes ", answer_bytes,
                     " bytes, and server.max_message_bytes is ",
                     max_message_bytes, ": send the tokens in parts"));
  }
  return response;
}

}  // namespace moe
