#include "server/generation/inference_core.h"

#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/runtime/engine.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"
#include "server/generation/answer_size.h"
#include "server/generation/request_converter.h"
#include "server/generation/request_errors.h"
#include "server/logging/log.h"
#include "server/text/stop_signal.h"

namespace moe {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;

bool IsRequestId(const std::string& id) {
  if (id.empty() || id.size() > kMaxRequestIdBytes) return false;
  for (const char c : id) {
    if (!absl::ascii_isgraph(c)) return false;
  }
  return true;
}

std::string RandomId() {
  std::random_device device;
  return absl::StrFormat("%08x%08x", device(), device());
}

absl::Status Draining() {
  return absl::UnavailableError(
      "the server is draining and takes no new requests");
}

}  // namespace

InferenceCore::InferenceCore(ServedModel model)
    : model_(std::move(model)),
      longest_token_bytes_(LongestTokenBytes(model_.tokenizer)),
      live_requests_(model_.limits.max_concurrent_requests) {}

absl::StatusOr<const ServedModel*> InferenceCore::FindModel(
    const std::string& name) const {
  if (name.empty() || name == model_.name) return &model_;
  const std::string shown = Shorten(name);
  return ResourceNotFound(
      "model", shown,
      absl::StrCat("model \"", shown, "\" is not served; \"", model_.name,
                   "\" is"));
}

absl::StatusOr<std::string> InferenceCore::MakeRequestId(
    const std::string& requested, const Call& call) const {
  if (requested.empty()) {
    // Proxies set this id, so a bad one is not the client's error.
    return IsRequestId(call.metadata_request_id) ? call.metadata_request_id
                                                 : RandomId();
  }
  if (!IsRequestId(requested)) {
    return FieldViolation("request_id",
                          absl::StrCat("must be at most ", kMaxRequestIdBytes,
                                       " printable ASCII characters without "
                                       "spaces"));
  }
  return requested;
}

void InferenceCore::LogRefused(const std::string& request_id,
                               const absl::Status& status) const {
  Log(Severity::kInfo, "request_refused",
      {{"request_id", request_id},
       {"status", absl::StatusCodeToString(status.code())},
       {"message", std::string(status.message())}});
}

absl::StatusOr<std::shared_ptr<GenerationStream>> InferenceCore::Start(
    const v1::GenerateRequest& request, const std::string& request_id,
    const Call& call, ChunkWriter& writer) {
  auto stream = TryStart(request, request_id, call, writer);
  if (!stream.ok()) {
    LogRefused(request_id, stream.status());
    return WithRetryInfo(stream.status(), model_.limits.retry_delay);
  }
  return stream;
}

absl::StatusOr<std::shared_ptr<GenerationStream>> InferenceCore::TryStart(
    const v1::GenerateRequest& request, const std::string& request_id,
    const Call& call, ChunkWriter& writer) {
  ASSIGN_OR_RETURN(const ServedModel* model, FindModel(request.model()));
  RETURN_IF_ERROR(failure());
  if (draining_) return Draining();
  // Count it before the prompt is tokenized, which can take long.
  ASSIGN_OR_RETURN(const std::string engine_id, live_requests_.Add(request_id));
  StopSignal stop([&call] { return call.abandoned && call.abandoned(); });
  auto converted = ConvertRequest(request, *model, &stop);
  absl::Status status = converted.status();
  if (status.ok() && call.one_message) {
    status = CheckAnswerSize(*converted, *model, longest_token_bytes_);
  }
  if (status.ok()) {
    converted->request.id = engine_id;
    converted->request.deadline = call.deadline;
    auto stream = std::make_shared<GenerationStream>(
        GenerationStream::Options{request_id, engine_id,
                                  model->limits.retry_delay},
        *converted, *model, delivery_, writer,
        [this, engine_id, deadline = call.deadline](GenerationSummary summary) {
          Forget(summary.request_id, engine_id);
          // A front end may cancel a call when its deadline passes. The log
          // names the deadline as the cause.
          if (absl::IsCancelled(summary.status) && SteadyNow() >= deadline) {
            summary.status =
                absl::DeadlineExceededError("the call's deadline has passed");
          }
          LogEnd(summary);
        });
    {
      std::lock_guard lock(streams_mutex_);
      status = failure_;
      streams_[engine_id] = stream;
    }
    if (status.ok()) {
      // Fail may have ended the stream already; the engine's OnDone then has
      // no effect.
      status = model->engine->Submit(std::move(converted->request), stream);
    }
    if (status.ok()) return stream;
    if (stream->Discard()) {
      Forget(request_id, engine_id);
      return status;
    }
    return stream;  // Fail has ended it
  }
  Forget(request_id, engine_id);
  return status;
}

void InferenceCore::Forget(const std::string& request_id,
                           const std::string& engine_id) {
  {
    std::lock_guard lock(streams_mutex_);
    streams_.erase(engine_id);
  }
  live_requests_.Remove(request_id, engine_id);
}

absl::Status InferenceCore::failure() const {
  std::lock_guard lock(streams_mutex_);
  return failure_;
}

void InferenceCore::Fail(const absl::Status& reason) {
  std::vector<std::shared_ptr<GenerationStream>> streams;
  {
    std::lock_guard lock(streams_mutex_);
    if (!failure_.ok()) return;
    failure_ = reason;
    for (const auto& [id, weak] : streams_) {
      if (auto stream = weak.lock()) streams.push_back(std::move(stream));
    }
  }
  for (const auto& stream : streams) stream->OnDone(reason, {});
  NotifyReadyListener();
}

void InferenceCore::SetReadyListener(std::function<void()> listener) {
  std::lock_guard lock(listener_mutex_);
  ready_listener_ = std::move(listener);
}

void InferenceCore::NotifyReadyListener() {
  std::lock_guard lock(listener_mutex_);
  if (ready_listener_) ready_listener_();
}

int64_t InferenceCore::Abort(const std::vector<std::string>& request_ids) {
  int64_t num_aborted = 0;
  for (const std::string& request_id : request_ids) {
    for (const std::string& engine_id : live_requests_.Find(request_id)) {
      model_.engine->Cancel(engine_id);
      ++num_aborted;
    }
  }
  return num_aborted;
}

void InferenceCore::StartDrain() {
  {
    std::lock_guard lock(drain_mutex_);
    draining_ = true;
    model_.engine->StartDrain();
  }
  NotifyReadyListener();
}

absl::Status InferenceCore::Resume() {
  {
    std::lock_guard lock(drain_mutex_);
    if (shutting_down_) {
      return absl::FailedPreconditionError("the server is shutting down");
    }
    model_.engine->Resume();
    draining_ = false;
  }
  NotifyReadyListener();
  return absl::OkStatus();
}

void InferenceCore::StartShutdown() {
  {
    std::lock_guard lock(drain_mutex_);
    shutting_down_ = true;
  }
  StartDrain();
}

bool InferenceCore::IsIdle() const {
  return model_.engine->WaitIdle(absl::ZeroDuration());
}

absl::Status InferenceCore::CheckReady() const {
  RETURN_IF_ERROR(failure());
  if (draining_) return Draining();
  if (lost_thread_) {
    return absl::UnavailableError(
        "a thread could not be started, and calls that need it may hang: "
        "restart the server with a higher limit of tasks");
  }
  return model_.engine->CheckHealth();
}

void InferenceCore::LogEnd(const GenerationSummary& summary) const {
  const RequestTiming& timing = summary.timing;
  const bool has_tokens = summary.num_new_tokens > 0;
  const absl::Duration first = timing.first_token - timing.submitted;
  const absl::Duration decode = timing.finished - timing.first_token;
  const bool as_expected = summary.status.ok() ||
                           absl::IsCancelled(summary.status) ||
                           absl::IsDeadlineExceeded(summary.status);
  Log(as_expected ? Severity::kInfo : Severity::kWarning, "request_finished",
      {{"request_id", summary.request_id},
       {"status", absl::StatusCodeToString(summary.status.code())},
       {"message", std::string(summary.status.message())},
       {"finish", summary.finish},
       {"prompt_tokens", summary.num_prompt_tokens},
       {"new_tokens", summary.num_new_tokens},
       {"ttft_ms", has_tokens ? absl::ToDoubleMilliseconds(first) : 0.0},
       {"tokens_per_second",
        has_tokens && decode > absl::ZeroDuration()
            ? static_cast<double>(summary.num_new_tokens - 1) /
                  absl::ToDoubleSeconds(decode)
            : 0.0},
       {"preemptions", timing.preemptions}});
}

}  // namespace moe
