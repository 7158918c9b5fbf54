#include "tests/fakes/recording_observer.h"

#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

constexpr std::chrono::minutes kWaitTimeout{1};

std::string Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return absl::StrCat(absl::Hex(bits));
}

std::string Describe(const SampledToken& token) {
  std::string text =
      absl::StrCat(token.token_id, ":", Bits(token.logprob.logprob), "#",
                   token.logprob.rank);
  for (const TokenLogprob& top : token.top) {
    absl::StrAppend(&text, ",", top.token_id, "=", Bits(top.logprob));
  }
  return text;
}

}  // namespace

void RecordingObserver::Violate(const std::string& what) {
  absl::StrAppend(&violation_, violation_.empty() ? "" : "; ", what);
}

void RecordingObserver::OnPrompt(const PromptEvent& event) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (status_.has_value()) Violate("OnPrompt after OnDone");
  if (prompt_.has_value()) Violate("second OnPrompt");
  if (num_tokens_ > 0) Violate("OnPrompt after a token");
  prompt_ = event;
  changed_.notify_all();
}

void RecordingObserver::OnToken(const TokenEvent& event) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (status_.has_value()) Violate("OnToken after OnDone");
  if (!prompt_.has_value()) Violate("OnToken before OnPrompt");
  Answer& answer = answers_[event.index];
  if (answer.finish.has_value()) Violate("token after its answer's finish");
  answer.tokens.push_back(event.token);
  answer.finish = event.finish;
  ++num_tokens_;
  changed_.notify_all();
}

void RecordingObserver::OnExpertLoad(const RequestExpertLoad& load) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (status_.has_value()) Violate("OnExpertLoad after OnDone");
  if (expert_load_.has_value()) Violate("second OnExpertLoad");
  expert_load_ = load;
}

void RecordingObserver::OnDone(const absl::Status& status,
                               const RequestTiming& timing) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (status_.has_value()) Violate("second OnDone");
  status_ = status;
  timing_ = timing;
  changed_.notify_all();
}

absl::Status RecordingObserver::WaitDone() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!changed_.wait_until(lock,
                           std::chrono::system_clock::now() + kWaitTimeout,
                           [&] { return status_.has_value(); })) {
    return absl::DeadlineExceededError("OnDone did not come");
  }
  return *status_;
}

bool RecordingObserver::WaitTokens(int64_t count) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_until(
      lock, std::chrono::system_clock::now() + kWaitTimeout,
      [&] { return num_tokens_ >= count || status_.has_value(); });
  return num_tokens_ >= count;
}

bool RecordingObserver::done() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return status_.has_value();
}

std::map<int32_t, RecordingObserver::Answer> RecordingObserver::answers()
    const {
  std::lock_guard<std::mutex> lock(mutex_);
  return answers_;
}

std::optional<PromptEvent> RecordingObserver::prompt() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return prompt_;
}

std::optional<RequestExpertLoad> RecordingObserver::expert_load() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return expert_load_;
}

RequestTiming RecordingObserver::timing() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return timing_;
}

std::string RecordingObserver::violation() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return violation_;
}

std::string RecordingObserver::Fingerprint() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string text = status_.has_value() ? status_->ToString() : "not done";
  if (prompt_.has_value()) {
    absl::StrAppend(&text, "\nprompt");
    for (const SampledToken& token : prompt_->logprobs) {
      absl::StrAppend(&text, " ", Describe(token));
    }
  }
  for (const auto& [index, answer] : answers_) {
    absl::StrAppend(&text, "\nanswer ", index);
    for (const SampledToken& token : answer.tokens) {
      absl::StrAppend(&text, " ", Describe(token));
    }
    if (answer.finish.has_value()) {
      absl::StrAppend(
          &text, " end ",
          answer.finish->reason == FinishReason::kStop ? "stop" : "length");
    }
  }
  return text;
}

}  // namespace moe
