#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/runtime/engine.h"

namespace moe {

// Records all events of a request and checks the observer's contract: useful
// for comparing runs and for waiting for the end. Thread-safe.
class RecordingObserver : public RequestObserver {
 public:
  struct Answer {
    std::vector<SampledToken> tokens;
    std::optional<SequenceFinish> finish;
  };

  void OnPrompt(const PromptEvent& event) override;
  void OnToken(const TokenEvent& event) override;
  void OnExpertLoad(const RequestExpertLoad& load) override;
  void OnDone(const absl::Status& status, const RequestTiming& timing) override;

  // Waits for OnDone; kDeadlineExceeded after a minute, which indicates a bug.
  absl::Status WaitDone();
  // Waits for the n-th token of all answers; false if the request ends before.
  bool WaitTokens(int64_t count);

  bool done() const;
  std::map<int32_t, Answer> answers() const;
  std::optional<PromptEvent> prompt() const;
  std::optional<RequestExpertLoad> expert_load() const;
  RequestTiming timing() const;
  // The first violation of the observer's contract, or "". The contract: one
  // prompt event, before all tokens; nothing after an answer's finish; one
  // OnDone, last; a finish for each answer if it is OK.
  std::string violation() const;

  // All tokens, logprobs and finishes, bit for bit, for comparisons.
  std::string Fingerprint() const;

 private:
  void Violate(const std::string& what);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<PromptEvent> prompt_;
  std::map<int32_t, Answer> answers_;
  int64_t num_tokens_ = 0;
  std::optional<absl::Status> status_;
  std::optional<RequestExpertLoad> expert_load_;
  RequestTiming timing_;
  std::string violation_;
};

}  // namespace moe
