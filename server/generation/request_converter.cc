#include "server/generation/request_converter.h"

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/core/status_macros.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/grpc/grpc_status.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

uint64_t RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

absl::Status NoTokenizer(const ServedModel& model, absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what, " needs a tokenizer, and model \"", model.name,
                   "\" has none: it takes and gives token ids only"));
}

// Reads one request, collecting what is wrong with it.
class Conversion {
 public:
  Conversion(const v1::GenerateRequest& proto, const ServedModel& model)
      : proto_(proto), model_(model) {}

  absl::StatusOr<ConvertedRequest> Run() {
    RETURN_IF_ERROR(CheckTokenizer());
    ReadSampling();
    ReadPenalties();
    ReadOutput();
    ReadStopping();
    RETURN_IF_ERROR(ReadPrompt());
    ReadLengths();
    RETURN_IF_ERROR(violations_.ToStatus());
    CheckThatTokensAreLeft();
    RETURN_IF_ERROR(violations_.ToStatus());
    return std::move(result_);
  }

 private:
  int64_t vocab_size() const { return model_.info.model.vocab_size; }

  absl::Status CheckTokenizer() const {
    if (model_.tokenizer != nullptr) return absl::OkStatus();
    if (proto_.has_text()) return NoTokenizer(model_, "a text prompt");
    if (proto_.output().text()) return NoTokenizer(model_, "output.text");
    if (proto_.stopping().stop_size() > 0) {
      return NoTokenizer(model_, "stopping.stop");
    }
    return absl::OkStatus();
  }

  // `value` if it is in [min, max] (NaN is not); else a violation.
  void ReadFloat(bool has, float value, absl::string_view field, float min,
                 float max, float& out) {
    if (!has) return;
    if (value >= min && value <= max) {
      out = value;
    } else {
      violations_.Add(field, absl::StrFormat("is %g; it must be in [%g, %g]",
                                             value, min, max));
    }
  }

  // The same of (0, max].
  void ReadPositive(bool has, float value, absl::string_view field, float max,
                    float& out) {
    if (!has) return;
    if (value > 0 && value <= max) {
      out = value;
    } else {
      violations_.Add(
          field, absl::StrFormat("is %g; it must be in (0, %g]", value, max));
    }
  }

  bool CheckCount(uint32_t value, absl::string_view field, int64_t min,
                  int64_t max) {
    if (value >= min && value <= max) return true;
    violations_.Add(field, absl::StrFormat("is %d; it must be in [%d, %d]",
                                           value, min, max));
    return false;
  }

  template <typename Ids>
  std::vector<int32_t> ReadIds(const Ids& ids, absl::string_view field) {
    for (int i = 0; i < ids.size(); ++i) {
      if (ids[i] < vocab_size()) continue;
      violations_.Add(absl::StrCat(field, "[", i, "]"),
                      absl::StrFormat("is %d; token ids are below the "
                                      "vocabulary's size, %d",
                                      ids[i], vocab_size()));
      return {};
    }
    return std::vector<int32_t>(ids.begin(), ids.end());
  }

  void ReadSampling() {
    const v1::Sampling& in = proto_.sampling();
    SamplingParams& out = result_.request.sampling;
    out = model_.defaults;
    ReadFloat(in.has_temperature(), in.temperature(), "sampling.temperature", 0,
              100, out.temperature);
    ReadPositive(in.has_top_p(), in.top_p(), "sampling.top_p", 1, out.top_p);
    if (in.has_top_k()) out.top_k = in.top_k();
    ReadFloat(in.has_min_p(), in.min_p(), "sampling.min_p", 0, 1, out.min_p);
    out.seed = in.has_seed() ? in.seed() : RandomSeed();
    const uint32_t n = in.has_n() ? in.n() : 1;
    const int64_t max_answers =
        std::min(model_.limits.max_answers,
                 model_.engine->options().max_running_sequences);
    if (CheckCount(n, "sampling.n", 1, max_answers)) {
      result_.request.num_answers = static_cast<int32_t>(n);
      result_.options.num_answers = static_cast<int32_t>(n);
    }
    result_.request.priority = proto_.priority();
  }

  void ReadPenalties() {
    const v1::Penalties& in = proto_.penalties();
    SamplingParams& out = result_.request.sampling;
    ReadFloat(in.has_presence(), in.presence(), "penalties.presence", -2, 2,
              out.presence_penalty);
    ReadFloat(in.has_frequency(), in.frequency(), "penalties.frequency", -2, 2,
              out.frequency_penalty);
    ReadPositive(in.has_repetition(), in.repetition(), "penalties.repetition",
                 std::numeric_limits<float>::max(), out.repetition_penalty);
    // A map has no order of its own.
    const std::map<uint32_t, float> biases(in.logit_bias().begin(),
                                           in.logit_bias().end());
    for (const auto& [id, bias] : biases) {
      const std::string field = absl::StrCat("penalties.logit_bias[", id, "]");
      if (id >= vocab_size()) {
        violations_.Add(field, absl::StrFormat("token ids are below the "
                                               "vocabulary's size, %d",
                                               vocab_size()));
        continue;
      }
      float value = 0;
      ReadFloat(true, bias, field, -100, 100, value);
      out.logit_bias.emplace_back(static_cast<int32_t>(id), value);
    }
    out.allowed_token_ids =
        ReadIds(in.allowed_token_ids(), "penalties.allowed_token_ids");
    out.banned_token_ids =
        ReadIds(in.banned_token_ids(), "penalties.banned_token_ids");
  }

  void ReadOutput() {
    const v1::Output& in = proto_.output();
    SamplingParams& sampling = result_.request.sampling;
    AnswerOptions& out = result_.options;
    out.text = in.has_text() ? in.text() : model_.tokenizer != nullptr;
    out.tokens = in.has_token_ids() ? in.token_ids() : !out.text;
    const int64_t max_logprobs =
        std::min(model_.limits.max_logprobs, vocab_size());
    if (in.has_logprobs() &&
        CheckCount(in.logprobs(), "output.logprobs", 0, max_logprobs)) {
      out.tokens = true;
      sampling.num_logprobs = static_cast<int32_t>(in.logprobs());
    }
    if (in.has_prompt_logprobs() &&
        CheckCount(in.prompt_logprobs(), "output.prompt_logprobs", 0,
                   max_logprobs)) {
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
        ReadIds(in.stop_token_ids(), "stopping.stop_token_ids");
    out.ignore_eos = in.ignore_eos();
    result_.options.stop_token_ids = out.stop_token_ids;
    result_.options.include_stop = in.include_stop();
    const RequestLimits& limits = model_.limits;
    if (in.stop_size() > limits.max_stop_strings) {
      violations_.Add("stopping.stop",
                      absl::StrFormat("has %d strings; at most %d are taken",
                                      in.stop_size(), limits.max_stop_strings));
      return;
    }
    std::vector<std::string>& stop = result_.options.stop;
    stop.assign(in.stop().begin(), in.stop().end());
    for (size_t i = 0; i < stop.size(); ++i) {
      if (static_cast<int64_t>(stop[i].size()) <=
          limits.max_stop_string_bytes) {
        continue;
      }
      violations_.Add(
          absl::StrCat("stopping.stop[", i, "]"),
          absl::StrFormat("has %d bytes; at most %d are taken", stop[i].size(),
                          limits.max_stop_string_bytes));
      return;
    }
    if (stop.empty()) return;
    absl::StatusOr<StopStrings> finder =
        StopStrings::Create(stop, in.include_stop());
    if (finder.ok()) {
      result_.options.stop_finder = *std::move(finder);
    } else {
      violations_.Add("stopping.stop", finder.status().message());
    }
  }

  absl::Status ReadPrompt() {
    std::vector<int32_t>& prompt = result_.request.prompt;
    if (proto_.has_token_ids()) {
      prompt = ReadIds(proto_.token_ids().ids(), "token_ids.ids");
      if (proto_.token_ids().ids().empty()) {
        violations_.Add("token_ids.ids", "is empty; a prompt has a token");
      }
    } else if (proto_.has_text()) {
      RETURN_IF_ERROR(Tokenize(proto_.text()));
    } else {
      violations_.Add("prompt", "is missing: set either text or token_ids");
    }
    if (!proto_.has_truncate_prompt_tokens()) return absl::OkStatus();
    const size_t keep = proto_.truncate_prompt_tokens();
    if (keep == 0) {
      violations_.Add("truncate_prompt_tokens", "is 0; it must be 1 or more");
    } else if (prompt.size() > keep) {
      prompt.erase(prompt.begin(), prompt.end() - keep);
    }
    return absl::OkStatus();
  }

  absl::Status Tokenize(const std::string& text) {
    const int64_t context = MaxSequenceTokens(*model_.engine);
    const int64_t max_bytes = context * kMaxTextBytesPerToken;
    if (static_cast<int64_t>(text.size()) > max_bytes) {
      violations_.Add(
          "text", absl::StrFormat("has %d bytes; at most %d are taken, %d for "
                                  "each token of the context of %d",
                                  text.size(), max_bytes, kMaxTextBytesPerToken,
                                  context));
      return absl::OkStatus();
    }
    const size_t invalid = FindInvalidUtf8(text);
    if (invalid != absl::string_view::npos) {
      violations_.Add("text",
                      absl::StrCat("is not valid UTF-8 at byte ", invalid));
      return absl::OkStatus();
    }
    absl::StatusOr<Encoding> encoding = model_.tokenizer->Encode(text, {});
    if (absl::IsInvalidArgument(encoding.status())) {
      violations_.Add("text", encoding.status().message());
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(encoding.status());
    result_.request.prompt = std::move(encoding->ids);
    if (result_.request.prompt.empty()) {
      violations_.Add("text", "is empty; a prompt has a token");
    }
    for (const int32_t id : result_.request.prompt) {
      if (id < vocab_size()) continue;
      return absl::FailedPreconditionError(absl::StrFormat(
          "the tokenizer of model \"%s\" gives token %d for the text, but the "
          "model's vocabulary has %d entries",
          model_.name, id, vocab_size()));
    }
    return absl::OkStatus();
  }

  // Prompt and answer must fit the context.
  void ReadLengths() {
    const v1::Stopping& in = proto_.stopping();
    StoppingParams& out = result_.request.stopping;
    const int64_t context = MaxSequenceTokens(*model_.engine);
    const int64_t prompt = result_.request.prompt.size();
    if (prompt >= context) {
      violations_.Add(
          proto_.has_text() ? "text" : "token_ids.ids",
          absl::StrFormat("has %d tokens; with at least one new token, at most "
                          "%d fit the context of %d",
                          prompt, context - 1, context));
      return;
    }
    out.max_new_tokens = context - prompt;
    if (in.has_max_new_tokens()) {
      if (in.max_new_tokens() == 0) {
        violations_.Add("stopping.max_new_tokens",
                        "is 0; it must be 1 or more");
      } else if (in.max_new_tokens() > context - prompt) {
        violations_.Add(
            "stopping.max_new_tokens",
            absl::StrFormat("is %d; after a prompt of %d tokens, at most %d "
                            "fit the context of %d",
                            in.max_new_tokens(), prompt, context - prompt,
                            context));
      } else {
        out.max_new_tokens = in.max_new_tokens();
      }
    }
    if (in.min_new_tokens() > out.max_new_tokens) {
      violations_.Add("stopping.min_new_tokens",
                      absl::StrFormat("is %d; max_new_tokens is %d",
                                      in.min_new_tokens(), out.max_new_tokens));
      return;
    }
    out.min_new_tokens = in.min_new_tokens();
    result_.options.min_new_tokens = in.min_new_tokens();
  }

  // A step must have something to choose from.
  void CheckThatTokensAreLeft() {
    const SamplingParams& sampling = result_.request.sampling;
    const StoppingParams& stopping = result_.request.stopping;
    absl::flat_hash_set<int32_t> forbidden(sampling.banned_token_ids.begin(),
                                           sampling.banned_token_ids.end());
    if (stopping.min_new_tokens > 0) {
      forbidden.insert(stopping.stop_token_ids.begin(),
                       stopping.stop_token_ids.end());
      if (!stopping.ignore_eos) {
        const auto& eos = model_.engine->options().eos_token_ids;
        forbidden.insert(eos.begin(), eos.end());
      }
    }
    const std::vector<int32_t>& allowed = sampling.allowed_token_ids;
    const bool any_left =
        allowed.empty()
            ? static_cast<int64_t>(forbidden.size()) < vocab_size()
            : std::any_of(allowed.begin(), allowed.end(),
                          [&](int32_t id) { return !forbidden.contains(id); });
    if (any_left) return;
    violations_.Add("penalties",
                    "leave no token to choose: all are banned, not allowed, or "
                    "stop tokens before min_new_tokens");
  }

  const v1::GenerateRequest& proto_;
  const ServedModel& model_;
  FieldViolations violations_;
  ConvertedRequest result_;
};

}  // namespace

absl::StatusOr<ConvertedRequest> ConvertRequest(
    const v1::GenerateRequest& proto, const ServedModel& model) {
  return Conversion(proto, model).Run();
}

}  // namespace moe
