#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/runtime/engine.h"
#include "server/generation/served_model.h"
#include "tests/fakes/byte_tokenizer.h"

namespace moe {

// An engine that computes nothing: the test sends each request's events. With
// it a test can observe the server at every moment of a request's life.
// Thread-safe.
class FakeEngine : public Engine {
 public:
  explicit FakeEngine(int64_t max_positions = 256);

  // For the test.

  // The id of the n-th request (from 0), once it has been submitted; "" after
  // ten seconds.
  std::string WaitForRequest(size_t n);
  Request request(const std::string& id) const;
  void Prompt(const std::string& id, const PromptEvent& event = {});
  void Token(const std::string& id, int32_t token, int32_t index = 0);
  void Token(const std::string& id, const TokenEvent& event);
  // A token for each byte.
  void Text(const std::string& id, const std::string& text, int32_t index = 0);
  // The token with which answer `index` ends for `reason`.
  void LastToken(const std::string& id, int32_t token, FinishReason reason,
                 int32_t index = 0);
  void Done(const std::string& id, const absl::Status& status = {});
  // What Submit and CheckHealth return from now on.
  void set_submit_status(const absl::Status& status);
  void set_health(const absl::Status& status);

  // True once the request (or the answer) has been cancelled; false after ten
  // seconds.
  bool WaitForCancel(const std::string& id);
  bool WaitForCancelAnswer(const std::string& id, int32_t index);

  // Engine.
  const ModelConfig& model_config() const override { return config_; }
  const EngineOptions& options() const override { return options_; }
  absl::Status Submit(Request request,
                      std::shared_ptr<RequestObserver> observer) override;
  void Cancel(const std::string& request_id) override;
  void CancelAnswer(const std::string& request_id, int32_t index) override;
  EngineLoad GetLoad() const override;
  absl::Status CheckHealth() const override;
  void StartDrain() override;
  void Resume() override;
  bool WaitIdle(absl::Duration timeout) override;
  void Shutdown(const absl::Status& status) override;

 private:
  struct Entry {
    Request request;
    std::shared_ptr<RequestObserver> observer;  // null once done
    bool cancelled = false;
    std::vector<int32_t> cancelled_answers;
  };

  std::shared_ptr<RequestObserver> observer(const std::string& id) const;

  ModelConfig config_;
  EngineOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry> requests_;  // guarded by mutex_, as are the
  std::vector<std::string> order_;         // members below
  absl::Status submit_status_;
  absl::Status health_;
  bool draining_ = false;
};

// A model named "fake" on `engine`. `tokenizer` may be null.
ServedModel FakeServedModel(FakeEngine& engine, const Tokenizer* tokenizer);

}  // namespace moe
