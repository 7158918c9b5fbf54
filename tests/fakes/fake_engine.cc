#include "tests/fakes/fake_engine.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"

namespace moe {
namespace {

// Far longer than any test needs: only a bug waits this long.
constexpr std::chrono::seconds kWaitTimeout(10);

}  // namespace

FakeEngine::FakeEngine(int64_t max_positions) {
  config_.family = "fake";
  config_.vocab_size = ByteTokenizer::kVocabSize;
  config_.padded_vocab_size = ByteTokenizer::kVocabSize;
  config_.max_positions = max_positions;
  config_.layers.resize(2);
  config_.layers[1].mlp = MoeConfig{.num_experts = 4};
  options_.num_blocks = max_positions;
  options_.eos_token_ids = {ByteTokenizer::kEos};
}

std::string FakeEngine::WaitForRequest(size_t n) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kWaitTimeout, [&] { return order_.size() > n; });
  return order_.size() > n ? order_[n] : "";
}

Request FakeEngine::request(const std::string& id) const {
  std::lock_guard lock(mutex_);
  return requests_.at(id).request;
}

std::shared_ptr<RequestObserver> FakeEngine::observer(
    const std::string& id) const {
  std::lock_guard lock(mutex_);
  const auto entry = requests_.find(id);
  return entry == requests_.end() ? nullptr : entry->second.observer;
}

void FakeEngine::Prompt(const std::string& id, const PromptEvent& event) {
  if (const auto to = observer(id)) to->OnPrompt(event);
}

void FakeEngine::Token(const std::string& id, const TokenEvent& event) {
  if (const auto to = observer(id)) to->OnToken(event);
}

void FakeEngine::Token(const std::string& id, int32_t token, int32_t index) {
  TokenEvent event;
  event.index = index;
  event.token.token_id = token;
  Token(id, event);
}

void FakeEngine::Text(const std::string& id, const std::string& text,
                      int32_t index) {
  for (const char c : text) {
    Token(id, static_cast<unsigned char>(c), index);
  }
}

void FakeEngine::LastToken(const std::string& id, int32_t token,
                           FinishReason reason, int32_t index) {
  TokenEvent event;
  event.index = index;
  event.token.token_id = token;
  event.finish.emplace();
  event.finish->reason = reason;
  if (reason == FinishReason::kStop) event.finish->stop_token_id = token;
  Token(id, event);
}

void FakeEngine::Done(const std::string& id, const absl::Status& status) {
  std::shared_ptr<RequestObserver> to;
  {
    std::lock_guard lock(mutex_);
    const auto entry = requests_.find(id);
    if (entry != requests_.end()) to = std::move(entry->second.observer);
    changed_.notify_all();
  }
  RequestTiming timing;
  timing.submitted = absl::UnixEpoch();
  timing.scheduled = timing.submitted + absl::Seconds(1);
  timing.first_token = timing.submitted + absl::Seconds(2);
  timing.finished = timing.submitted + absl::Seconds(4);
  if (to != nullptr) to->OnDone(status, timing);
}

void FakeEngine::set_submit_status(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  submit_status_ = status;
}

void FakeEngine::set_health(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  health_ = status;
}

bool FakeEngine::WaitForCancel(const std::string& id) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kWaitTimeout,
                           [&] { return requests_[id].cancelled; });
}

bool FakeEngine::WaitForCancelAnswer(const std::string& id, int32_t index) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kWaitTimeout, [&] {
    const std::vector<int32_t>& answers = requests_[id].cancelled_answers;
    return std::find(answers.begin(), answers.end(), index) != answers.end();
  });
}

absl::Status FakeEngine::Submit(Request request,
                                std::shared_ptr<RequestObserver> observer) {
  std::lock_guard lock(mutex_);
  if (!submit_status_.ok()) return submit_status_;
  if (draining_) return absl::UnavailableError("draining");
  const std::string id = request.id;
  requests_[id] = Entry{std::move(request), std::move(observer), false, {}};
  order_.push_back(id);
  changed_.notify_all();
  return absl::OkStatus();
}

void FakeEngine::Cancel(const std::string& request_id) {
  {
    std::lock_guard lock(mutex_);
    requests_[request_id].cancelled = true;
    changed_.notify_all();
  }
  Done(request_id, absl::CancelledError("cancelled"));
}

void FakeEngine::CancelAnswer(const std::string& request_id, int32_t index) {
  std::lock_guard lock(mutex_);
  requests_[request_id].cancelled_answers.push_back(index);
  changed_.notify_all();
}

EngineLoad FakeEngine::GetLoad() const {
  std::lock_guard lock(mutex_);
  EngineLoad load;
  for (const auto& [id, entry] : requests_) {
    load.running += entry.observer != nullptr;
  }
  load.total_blocks = options_.num_blocks;
  load.free_blocks = options_.num_blocks - load.running;
  return load;
}

absl::Status FakeEngine::CheckHealth() const {
  std::lock_guard lock(mutex_);
  return health_;
}

void FakeEngine::StartDrain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
}

void FakeEngine::Resume() {
  std::lock_guard lock(mutex_);
  draining_ = false;
}

bool FakeEngine::WaitIdle(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  const auto idle = [this] {
    return std::all_of(
        requests_.begin(), requests_.end(),
        [](const auto& entry) { return entry.second.observer == nullptr; });
  };
  return changed_.wait_for(lock, absl::ToChronoMicroseconds(timeout), idle);
}

void FakeEngine::Shutdown(const absl::Status& status) {
  std::vector<std::string> ids;
  {
    std::lock_guard lock(mutex_);
    ids = order_;
  }
  for (const std::string& id : ids) Done(id, status);
}

ServedModel FakeServedModel(FakeEngine& engine, const Tokenizer* tokenizer) {
  ServedModel model;
  model.name = "fake";
  model.engine = &engine;
  model.tokenizer = tokenizer;
  model.info.model = engine.model_config();
  return model;
}

}  // namespace moe
