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
#include "server/generation/chunk_writer.h"
#include "server/generation/generation_stream.h"
#include "server/generation/live_requests.h"
#include "server/generation/serial_executor.h"
#include "server/generation/served_model.h"

namespace moe {

// What all front ends do with requests, whatever protocol they came by: finds
// the model, names the request, starts and aborts it, and refuses it while the
// server drains. Thread-safe. Must outlive every stream it starts, and the
// model's engine must outlive it.
class InferenceCore {
 public:
  // The identity of a call, as its protocol gives it.
  struct Call {
    std::string metadata_request_id;  // "": none
    absl::Time deadline = absl::InfiniteFuture();
  };

  explicit InferenceCore(ServedModel model);

  const ServedModel& model() const { return model_; }
  // "" means the model that is served. kNotFound for any other name.
  absl::StatusOr<const ServedModel*> FindModel(const std::string& name) const;

  // The id for a request that asks for `requested` (kInvalidArgument if that
  // cannot be logged as one word), or else the call's if that can, or a new
  // one.
  absl::StatusOr<std::string> MakeRequestId(const std::string& requested,
                                            const Call& call) const;

  // Starts a request; its chunks and its end go to `writer`. If the status is
  // not OK, `writer` is not called; kUnavailable and kResourceExhausted say
  // when to try again.
  absl::StatusOr<std::shared_ptr<GenerationStream>> Start(
      const v1::GenerateRequest& request, const std::string& request_id,
      const Call& call, ChunkWriter& writer);

  // For calls that end before Start; it logs those that it refuses itself.
  void LogRefused(const std::string& request_id,
                  const absl::Status& status) const;

  // Ends the requests of these ids; returns how many there are.
  int64_t Abort(const std::vector<std::string>& request_ids);

  // Refuses new requests from now on; those that run go on.
  void StartDrain();
  // kFailedPrecondition once StartShutdown has been called.
  absl::Status Resume();
  // As StartDrain, and for good.
  void StartShutdown();
  bool draining() const { return draining_; }
  // Waits until every request has ended and its client has been sent all of it;
  // false if `deadline` comes first.
  bool WaitDelivered(absl::Time deadline) const {
    return live_requests_.WaitEmpty(deadline);
  }

  // The engine will not come back: ends every request with `reason`, which must
  // be kUnavailable, and refuses all that follow. Does not wait for the engine.
  void Fail(const absl::Status& reason);

  // `listener` is called when CheckReady may have changed because of one of the
  // calls above; null: no more, and none runs when this returns.
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
  void TellReadyListener();

  const ServedModel model_;
  std::mutex drain_mutex_;  // held while one of the two changes
  std::atomic<bool> draining_ = false;
  bool shutting_down_ = false;  // guarded by drain_mutex_
  std::mutex listener_mutex_;   // held while it is called
  std::function<void()> ready_listener_;
  mutable std::mutex streams_mutex_;
  absl::Status failure_;  // guarded by streams_mutex_
  // By the engine's id; guarded by streams_mutex_.
  absl::flat_hash_map<std::string, std::weak_ptr<GenerationStream>> streams_;
  // Streams refer to those below from engine and gRPC threads.
  LiveRequests live_requests_;
  SerialExecutor delivery_;
};

}  // namespace moe
