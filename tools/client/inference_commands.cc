#include "tools/client/inference_commands.h"

#include <cstdio>
#include <iostream>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "tools/client/answer_printer.h"
#include "tools/client/connection.h"
#include "tools/client/flag_values.h"
#include "tools/client/message_printer.h"
#include "tools/client/prompt_source.h"
#include "tools/client/rpc_error.h"

ABSL_FLAG(std::string, model, "", "Model to use; empty: the served model.");
ABSL_FLAG(std::string, prompt_file, "",
          "generate, tokenize: text from this file; - is standard input.");
ABSL_FLAG(std::string, token_ids, "",
          "generate, detokenize: token ids instead of text: 1,2,3");
// generation_flags.cc
ABSL_DECLARE_FLAG(bool, add_special_tokens);
ABSL_DECLARE_FLAG(bool, parse_special_tokens);

namespace moe::client {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(10);

int UsageError(const absl::Status& status) {
  std::fprintf(stderr, "client: %s\n", std::string(status.message()).c_str());
  return kExitUsage;
}

// One line that describes a model.
std::string Summary(const v1::Model& model) {
  std::string line = absl::StrFormat(
      "%s: %s, %.2f M parameters, %.2f M active per token, %d layers",
      model.name(), model.family(), model.parameters() / 1e6,
      model.active_parameters() / 1e6, model.num_layers());
  absl::StrAppend(&line, ", experts [",
                  absl::StrJoin(model.experts_per_layer(), " "), "]");
  if (model.experts_per_token() > 0) {
    absl::StrAppend(&line, " top-", model.experts_per_token());
  }
  if (!model.residual_moe().empty() && model.residual_moe() != "none") {
    absl::StrAppend(&line, " residual ", model.residual_moe());
  }
  absl::StrAppend(&line, ", context ", model.max_positions(), ", vocabulary ",
                  model.vocab_size(), ", ", model.weight_dtype(),
                  model.has_tokenizer() ? "" : ", no tokenizer", "\n");
  return line;
}

}  // namespace

int RunTokenize(const std::vector<std::string>& arguments) {
  const auto texts =
      ReadPrompts({arguments, absl::GetFlag(FLAGS_prompt_file)}, std::cin);
  if (!texts.ok()) return UsageError(texts.status());
  const auto channel = OpenChannel();
  if (!channel.ok()) return UsageError(channel.status());
  v1::TokenizeRequest request;
  request.set_model(absl::GetFlag(FLAGS_model));
  request.set_text(texts->front());
  if (!absl::GetFlag(FLAGS_add_special_tokens)) {
    request.set_add_special_tokens(false);
  }
  if (!absl::GetFlag(FLAGS_parse_special_tokens)) {
    request.set_parse_special_tokens(false);
  }
  grpc::ClientContext context;
  SetDeadline(kTimeout, &context);
  v1::TokenizeResponse response;
  const grpc::Status status =
      v1::Inference::NewStub(*channel)->Tokenize(&context, request, &response);
  if (!status.ok()) return ReportError(status, **channel);
  if (WantsJson()) {
    PrintMessage(response);
    return kExitOk;
  }
  for (int i = 0; i < response.token_ids_size(); ++i) {
    const std::string bytes =
        i < response.tokens_size() ? response.tokens(i) : "";
    Print(
        absl::StrFormat("%8d  %s\n", response.token_ids(i), QuoteToken(bytes)));
  }
  std::fprintf(stderr, "%d tokens, %zu bytes\n", response.token_ids_size(),
               request.text().size());
  if (response.dropped_bytes() > 0) {
    std::fprintf(stderr, "%s\n",
                 DescribeDropped(response.dropped_bytes()).c_str());
  }
  return kExitOk;
}

int RunDetokenize(const std::vector<std::string>& arguments) {
  std::vector<std::string> lists = arguments;
  if (!absl::GetFlag(FLAGS_token_ids).empty()) {
    lists.push_back(absl::GetFlag(FLAGS_token_ids));
  }
  const auto ids = ParseIds("token_ids", absl::StrJoin(lists, ","));
  if (!ids.ok()) return UsageError(ids.status());
  if (ids->empty()) {
    return UsageError(absl::InvalidArgumentError("give token ids"));
  }
  const auto channel = OpenChannel();
  if (!channel.ok()) return UsageError(channel.status());
  v1::DetokenizeRequest request;
  request.set_model(absl::GetFlag(FLAGS_model));
  request.mutable_token_ids()->Add(ids->begin(), ids->end());
  grpc::ClientContext context;
  SetDeadline(kTimeout, &context);
  v1::DetokenizeResponse response;
  const grpc::Status status = v1::Inference::NewStub(*channel)->Detokenize(
      &context, request, &response);
  if (!status.ok()) return ReportError(status, **channel);
  if (WantsJson()) {
    PrintMessage(response);
  } else {
    Print(response.text() + "\n");
  }
  return kExitOk;
}

int RunModels(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return UsageError(absl::InvalidArgumentError("models takes no argument"));
  }
  const auto channel = OpenChannel();
  if (!channel.ok()) return UsageError(channel.status());
  grpc::ClientContext context;
  SetDeadline(kTimeout, &context);
  v1::ListModelsResponse response;
  const grpc::Status status =
      v1::Inference::NewStub(*channel)->ListModels(&context, {}, &response);
  if (!status.ok()) return ReportError(status, **channel);
  if (WantsJson()) {
    PrintMessage(response);
    return kExitOk;
  }
  for (const v1::Model& model : response.models()) Print(Summary(model));
  return kExitOk;
}

}  // namespace moe::client
