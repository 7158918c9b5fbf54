#include "server/generation/generation_stream.h"

#include <utility>

#include "server/generation/request_errors.h"

namespace moe {

GenerationStream::GenerationStream(
    Options options, const ConvertedRequest& converted,
    const ServedModel& model, SerialExecutor& delivery, ChunkWriter& writer,
    std::function<void(const GenerationSummary&)> on_end)
    : options_(std::move(options)),
      model_(model),
      delivery_(delivery),
      builder_(options_.request_id, converted, model),
      writer_(writer),
      on_end_(std::move(on_end)) {}

template <typename Add>
void GenerationStream::Enqueue(Add add) {
  {
    std::lock_guard lock(mutex_);
    add(events_);
    if (std::exchange(busy_, true)) return;
  }
  delivery_.Schedule([self = shared_from_this()] { self->Deliver(); });
}

void GenerationStream::OnPrompt(const PromptEvent& event) {
  Enqueue([&event](PendingEvents& events) { events.prompt = event; });
}

void GenerationStream::OnToken(const TokenEvent& event) {
  Enqueue([&event](PendingEvents& events) { events.tokens.push_back(event); });
}

void GenerationStream::OnExpertLoad(const RequestExpertLoad& load) {
  Enqueue([&load](PendingEvents& events) { events.expert_load = load; });
}

void GenerationStream::OnDone(const absl::Status& status,
                              const RequestTiming& timing) {
  Enqueue([&](PendingEvents& events) {
    if (!std::exchange(ended_, true)) events.done = Done{status, timing};
  });
}

bool GenerationStream::Discard() {
  std::lock_guard lock(mutex_);
  return !std::exchange(ended_, true);
}

void GenerationStream::Cancel() { model_.engine->Cancel(options_.engine_id); }

void GenerationStream::OnWritten(bool ok) {
  if (!ok && !std::exchange(client_is_gone_, true)) Cancel();
  Deliver();
}

bool GenerationStream::BuildChunks() {
  PendingEvents events;
  {
    std::lock_guard lock(mutex_);
    if (events_.empty()) {
      busy_ = false;
      return false;
    }
    events = std::exchange(events_, {});
  }
  if (events.prompt.has_value()) builder_.AddPrompt(*events.prompt);
  for (const TokenEvent& event : events.tokens) {
    if (builder_.AddToken(event)) {
      model_.engine->CancelAnswer(options_.engine_id, event.index);
    }
  }
  if (events.expert_load.has_value())
    builder_.AddExpertLoad(*events.expert_load);
  if (events.done.has_value()) {
    done_ = std::move(events.done);
    // The client has all its answers: later errors do not matter to it.
    if (builder_.all_finished()) done_->status = absl::OkStatus();
    if (done_->status.ok()) builder_.AddTiming(done_->timing);
  }
  for (v1::GenerateChunk& chunk : builder_.Take()) {
    chunks_.push_back(std::move(chunk));
  }
  return true;
}

void GenerationStream::Deliver() {
  while (true) {
    while (!chunks_.empty() && !client_is_gone_) {
      v1::GenerateChunk chunk = std::move(chunks_.front());
      chunks_.pop_front();
      wrote_ = true;
      // OnWritten may run, and finish the stream, before Write returns.
      if (writer_.Write(std::move(chunk))) return;
    }
    chunks_.clear();
    // busy_ stays set after the end.
    if (done_.has_value()) return Finish();
    if (!BuildChunks()) return;
  }
}

void GenerationStream::Finish() {
  absl::Status status = done_->status;
  // The client may retry safely if it has received nothing.
  if (!wrote_) status = WithRetryInfo(status, options_.retry_delay);
  status = writer_.StatusToSend(status);
  if (client_is_gone_ && status.ok()) {
    status = absl::CancelledError("the client left before its last chunk");
  }
  on_end_({options_.request_id, status, builder_.num_prompt_tokens(),
           builder_.num_new_tokens(), builder_.FinishReasons(), done_->timing});
  on_end_ = nullptr;
  writer_.End(status);
}

}  // namespace moe
