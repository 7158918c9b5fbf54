#include "server/generation/tokenization.h"

#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "server/generation/request_errors.h"
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
    int64_t max_message_bytes) {
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer, TokenizerOf(model));
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
      tokenizer->Encode(request.text(), EncodeOptionsOf(request));
  if (absl::IsInvalidArgument(encoding.status())) {
    return FieldViolation("text", encoding.status().message());
  }
  RETURN_IF_ERROR(encoding.status());
  v1::TokenizeResponse response;
  response.set_dropped_bytes(
      static_cast<uint64_t>(encoding->num_dropped_bytes));
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
    const ServedModel& model, const v1::DetokenizeRequest& request) {
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer, TokenizerOf(model));
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

}  // namespace moe
