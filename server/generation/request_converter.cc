#include "server/generation/request_converter.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/runtime/request_validation.h"
#include "kernels/core/status_macros.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/generation/effective_limits.h"
#include "server/generation/field_checks.h"
#include "server/generation/sampling_converter.h"
#include "server/generation/tokenization.h"
#include "server/text/tokenizer.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

absl::Status NoTokenizer(const ServedModel& model, absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what, " needs a tokenizer, and model \"", model.name,
                   "\" has none: it takes and gives token ids only"));
}

// Reads one request and collects what is wrong with it.
class Conversion {
 public:
  Conversion(const v1::GenerateRequest& proto, const ServedModel& model,
             StopSignal* stop)
      : proto_(proto),
        model_(model),
        stop_(stop),
        limits_(EffectiveLimits(model)),
        checks_(model.info.model.vocab_size) {}

  absl::StatusOr<ConvertedRequest> Run() {
    RETURN_IF_ERROR(CheckTokenizer());
    SamplingParams& sampling = result_.request.sampling;
    sampling = model_.defaults;
    ReadSampling(proto_.sampling(), checks_, sampling);
    ReadNumAnswers();
    result_.request.priority = proto_.priority();
    ReadPenalties(proto_.penalties(), checks_, sampling);
    ReadOutput();
    ReadStopping();
    RETURN_IF_ERROR(ReadPrompt());
    ReadLengths();
    RETURN_IF_ERROR(checks_.ToStatus());
    CheckThatTokensAreLeft();
    RETURN_IF_ERROR(checks_.ToStatus());
    return std::move(result_);
  }

 private:
  absl::Status CheckTokenizer() const {
    if (model_.tokenizer != nullptr) return absl::OkStatus();
    if (proto_.has_text()) return NoTokenizer(model_, "a text prompt");
    if (proto_.output().text()) return NoTokenizer(model_, "output.text");
    if (proto_.stopping().stop_size() > 0) {
      return NoTokenizer(model_, "stopping.stop");
    }
    return absl::OkStatus();
  }

  void ReadNumAnswers() {
    const v1::Sampling& in = proto_.sampling();
    const uint32_t n = in.has_n() ? in.n() : 1;
    if (checks_.CheckCount(n, "sampling.n", 1, limits_.max_answers)) {
      result_.request.num_answers = static_cast<int32_t>(n);
      result_.options.num_answers = static_cast<int32_t>(n);
    }
  }

  void ReadOutput() {
    const v1::Output& in = proto_.output();
    SamplingParams& sampling = result_.request.sampling;
    AnswerOptions& out = result_.options;
    out.text = in.has_text() ? in.text() : model_.tokenizer != nullptr;
    out.tokens = in.has_token_ids() ? in.token_ids() : !out.text;
    if (in.has_logprobs() &&
        checks_.CheckCount(in.logprobs(), "output.logprobs", 0,
                           limits_.max_logprobs)) {
      out.tokens = true;
      sampling.num_logprobs = static_cast<int32_t>(in.logprobs());
    }
    if (in.has_prompt_logprobs() &&
        checks_.CheckCount(in.prompt_logprobs(), "output.prompt_logprobs", 0,
                           limits_.max_logprobs)) {
      out.prompt_tokens = true;
      sampling.num_prompt_logprobs = static_cast<int32_t>(in.prompt_logprobs());
    }
    out.echo = in.echo();
    out.prompt_tokens |= in.echo();
    out.usage_per_chunk = in.usage_per_chunk();
    out.timing = in.timing();
    out.expert_usage = in.expert_usage();
    result_.request.trace_experts = in.expert_usage();
  }

  void ReadStopping() {
    const v1::Stopping& in = proto_.stopping();
    StoppingParams& out = result_.request.stopping;
    out.stop_token_ids =
        checks_.ReadIdSet(in.stop_token_ids(), "stopping.stop_token_ids");
    out.ignore_eos = in.ignore_eos();
    result_.options.stop_token_ids = out.stop_token_ids;
    result_.options.include_stop = in.include_stop();
    if (in.stop_size() > limits_.max_stop_strings) {
      checks_.Add("stopping.stop",
                  absl::StrFormat("has %d strings; at most %d are taken",
                                  in.stop_size(), limits_.max_stop_strings));
      return;
    }
    std::vector<std::string>& stop = result_.options.stop;
    stop.assign(in.stop().begin(), in.stop().end());
    for (size_t i = 0; i < stop.size(); ++i) {
      if (static_cast<int64_t>(stop[i].size()) <=
          limits_.max_stop_string_bytes) {
        continue;
      }
      checks_.Add(
          absl::StrCat("stopping.stop[", i, "]"),
          absl::StrFormat("has %d bytes; at most %d are taken", stop[i].size(),
                          limits_.max_stop_string_bytes));
      return;
    }
    if (stop.empty()) return;
    absl::StatusOr<StopStrings> finder =
        StopStrings::Create(stop, in.include_stop());
    if (finder.ok()) {
      result_.options.stop_finder = *std::move(finder);
    } else {
      checks_.Add("stopping.stop", finder.status().message());
    }
  }

  absl::Status ReadPrompt() {
    std::vector<int32_t>& prompt = result_.request.prompt;
    if (proto_.has_token_ids()) {
      prompt = checks_.ReadIds(proto_.token_ids().ids(), "token_ids.ids");
      if (proto_.token_ids().ids().empty()) {
        checks_.Add("token_ids.ids", "is empty; a prompt has a token");
      }
    } else if (proto_.has_text()) {
      RETURN_IF_ERROR(Tokenize(proto_.text()));
    } else {
      checks_.Add("prompt", "is missing: set either text or token_ids");
    }
    if (!proto_.has_truncate_prompt_tokens()) return absl::OkStatus();
    const size_t keep = proto_.truncate_prompt_tokens();
    if (keep == 0) {
      checks_.Add("truncate_prompt_tokens", "is 0; it must be 1 or more");
    } else if (prompt.size() > keep) {
      prompt.erase(prompt.begin(), prompt.end() - keep);
    }
    return absl::OkStatus();
  }

  absl::Status Tokenize(const std::string& text) {
    const int64_t context = MaxSequenceTokens(*model_.engine);
    const int64_t max_bytes = context * kMaxTextBytesPerToken;
    if (static_cast<int64_t>(text.size()) > max_bytes) {
      checks_.Add("text",
                  absl::StrFormat("has %d bytes; at most %d are taken, %d for "
                                  "each token of the context of %d",
                                  text.size(), max_bytes, kMaxTextBytesPerToken,
                                  context));
      return absl::OkStatus();
    }
    const size_t invalid = FindInvalidUtf8(text);
    if (invalid != absl::string_view::npos) {
      checks_.Add("text", absl::StrCat("is not valid UTF-8 at byte ", invalid));
      return absl::OkStatus();
    }
    EncodeOptions options = EncodeOptionsOf(proto_);
    options.stop = stop_;
    absl::StatusOr<Encoding> encoding = model_.tokenizer->Encode(text, options);
    if (absl::IsInvalidArgument(encoding.status())) {
      checks_.Add("text", encoding.status().message());
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(encoding.status());
    result_.request.prompt = std::move(encoding->ids);
    result_.num_dropped_bytes = encoding->num_dropped_bytes;
    if (result_.request.prompt.empty()) {
      checks_.Add("text", text.empty() ? "is empty; a prompt has a token"
                                       : "has no bytes for which the "
                                         "vocabulary has a token");
    }
    for (const int32_t id : result_.request.prompt) {
      if (id < checks_.vocab_size()) continue;
      return absl::FailedPreconditionError(absl::StrFormat(
          "the tokenizer of model \"%s\" gives token %d for the text, but the "
          "model's vocabulary has %d entries",
          model_.name, id, checks_.vocab_size()));
    }
    return absl::OkStatus();
  }

  // Prompt and answer must fit the context.
  void ReadLengths() {
    const v1::Stopping& in = proto_.stopping();
    StoppingParams& out = result_.request.stopping;
    const int64_t context = MaxSequenceTokens(*model_.engine);
    const int64_t prompt = result_.request.prompt.size();
    const int64_t room = context - prompt;
    out.max_new_tokens = in.has_max_new_tokens() ? in.max_new_tokens() : room;
    out.min_new_tokens = in.min_new_tokens();
    result_.options.min_new_tokens = in.min_new_tokens();
    bool max_is_valid = true;
    for (const LengthError error : FindLengthErrors(prompt, out, context)) {
      switch (error) {
        case LengthError::kPromptEmpty:           // ReadPrompt has reported it
        case LengthError::kMinNewTokensNegative:  // the field is unsigned
          break;
        case LengthError::kPromptTooLong:
          checks_.Add(
              proto_.has_text() ? "text" : "token_ids.ids",
              absl::StrFormat("has %d tokens; with at least one new token, at "
                              "most %d fit the context of %d",
                              prompt, context - 1, context));
          break;
        case LengthError::kMaxNewTokensBelowOne:
          max_is_valid = false;
          checks_.Add("stopping.max_new_tokens", "is 0; it must be 1 or more");
          break;
        case LengthError::kMaxNewTokensTooLarge:
          max_is_valid = false;
          checks_.Add(
              "stopping.max_new_tokens",
              absl::StrFormat("is %d; after a prompt of %d tokens, at "
                              "most %d fit the context of %d",
                              out.max_new_tokens, prompt, room, context));
          break;
        case LengthError::kMinNewTokensAboveMax:
          checks_.Add(
              "stopping.min_new_tokens",
              absl::StrFormat("is %d; max_new_tokens is %d", out.min_new_tokens,
                              max_is_valid ? out.max_new_tokens : room));
          break;
      }
    }
  }

  // A step must have a token to choose.
  void CheckThatTokensAreLeft() {
    if (HasSelectableToken(result_.request.sampling, result_.request.stopping,
                           checks_.vocab_size(),
                           model_.engine->options().eos_token_ids)) {
      return;
    }
    checks_.Add("penalties",
                "leave no token to choose: all are banned, not allowed, or "
                "stop tokens before min_new_tokens");
  }

  const v1::GenerateRequest& proto_;
  const ServedModel& model_;
  StopSignal* const stop_;
  const RequestLimits limits_;
  FieldChecks checks_;
  ConvertedRequest result_;
};

}  // namespace

absl::StatusOr<ConvertedRequest> ConvertRequest(
    const v1::GenerateRequest& proto, const ServedModel& model,
    StopSignal* stop) {
  return Conversion(proto, model, stop).Run();
}

}  // namespace moe
