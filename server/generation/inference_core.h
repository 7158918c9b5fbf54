#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/chunks/chunk_writer.h"
#include "server/generation/generation_stream.h"
#include "server/generation/live_requests.h"
#include "server/generation/serial_executor.h"
#include "server/generation/served_model.h"

namespace moe {

// What every front end does with requests: finds the model, gives the request
// an id, starts and aborts it, and refuses it while the server drains.
// Independent of the protocol: a front end passes a Call and a ChunkWriter.
// Thread-safe. Must outlive every stream it starts; the model's engine must
// outlive it.
class InferenceCore {
 public:
  // The properties of a call besides its request.
  struct Call {
    std::string metadata_request_id;               // `x-request-id`; "": none
    absl::Time deadline = absl::InfiniteFuture();  // by SteadyNow
    // True once the client has left; ends the tokenizing of a long prompt.
    // Null: it never leaves. Called only within Start.
    std::function<bool()> abandoned;
    // The answer is sent as one message: refuse a request whose answer may be
    // longer than limits.max_message_bytes.
    bool one_message = false;
  };

  explicit InferenceCore(ServedModel model);

  const ServedModel& model() const { return model_; }
  // "" means the model that is served. kNotFound for any other name.
  absl::StatusOr<const ServedModel*> FindModel(const std::string& name) const;

  // The id of a request: `requested` (kInvalidArgument if it is not one
  // printable word), else the call's if that is one, else a new one.
  absl::StatusOr<std::string> MakeRequestId(const std::string& requested,
                                            const Call& call) const;

  // Starts a request; `writer` receives its chunks and its end. On an error
  // `writer` is not called; kUnavailable and kResourceExhausted say when to
  // retry.
  absl::StatusOr<std::shared_ptr<GenerationStream>> Start(
      const v1::GenerateRequest& request, const std::string& request_id,
      const Call& call, ChunkWriter& writer);

  // Logs a call that was refused before Start. Start logs its own refusals.
  void LogRefused(const std::string& request_id,
                  const absl::Status& status) const;

  // Cancels the requests with these ids; returns how many there are.
  int64_t Abort(const std::vector<std::string>& request_ids);

  // Refuses new requests from now on; running ones continue.
  void StartDrain();
  // kFailedPrecondition once StartShutdown has been called.
  absl::Status Resume();
  // Like StartDrain, but Resume cannot undo it.
  void StartShutdown();
  bool draining() const { return draining_; }
  // True if the engine has no running or waiting request.
  bool IsIdle() const;
  // A front end calls these at the begin of a call that may start a request,
  // and when its end is written.
  void BeginCall() { live_requests_.BeginCall(); }
  void EndCall() { live_requests_.EndCall(); }
  // Waits until every request has ended, all its chunks are written, and every
  // call has ended; false if `timeout` passes first.
  bool WaitDelivered(absl::Duration timeout) const {
    return live_requests_.WaitEmpty(timeout);
  }

  // For an engine that has failed for good: ends every request with `reason`,
  // which must be kUnavailable, and refuses all later ones. Does not wait for
  // the engine.
  void Fail(const absl::Status& reason);

  // A thread that some call needs could not be started: from now on the server
  // is not ready. Does nothing else, whatever locks the caller holds.
  void NoteLostThread() { lost_thread_ = true; }

  // `listener` is called when one of the calls above may have changed
  // CheckReady. With null there are no more calls, and none runs when this
  // returns.
  void SetReadyListener(std::function<void()> listener);

  // OK while the server takes requests and the engine makes progress.
  absl::Status CheckReady() const;

 private:
  absl::StatusOr<std::shared_ptr<GenerationStream>> TryStart(
      const v1::GenerateRequest& request, const std::string& request_id,
      const Call& call, ChunkWriter& writer);
  void LogEnd(const GenerationSummary& summary) const;
  void Forget(const std::string& request_id, const std::string& engine_id);
  absl::Status failure() const;
  void NotifyReadyListener();

  const ServedModel model_;
  const int64_t longest_token_bytes_;
  std::mutex drain_mutex_;  // held while the next two change
  std::atomic<bool> draining_ = false;
  std::atomic<bool> lost_thread_ = false;
  bool shutting_down_ = false;  // guarded by drain_mutex_
  std::mutex listener_mutex_;   // held while the listener runs
  std::function<void()> ready_listener_;
  mutable std::mutex streams_mutex_;
  absl::Status failure_;  // guarded by streams_mutex_
  // By engine id; guarded by streams_mutex_.
  absl::flat_hash_map<std::string, std::weak_ptr<GenerationStream>> streams_;
  // Streams use the members below from other threads.
  LiveRequests live_requests_;
  SerialExecutor delivery_;
};

}  // namespace moe
