#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/runtime/engine.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/chunks/chunk_writer.h"
#include "server/generation/chunk_builder.h"
#include "server/generation/serial_executor.h"

namespace moe {

// What the log says about a request that has ended.
struct GenerationSummary {
  std::string request_id;
  absl::Status status;
  int64_t num_prompt_tokens = 0;
  int64_t num_new_tokens = 0;
  std::string finish;  // of each answer
  RequestTiming timing;
};

// Carries one request's events from the engine to its client. The engine's
// thread only queues them; other threads deliver them, so a slow client delays
// nobody: tokens that arrive during a write share the next chunk. Shared by the
// engine (until OnDone), the call and the delivery thread. Thread-safe.
class GenerationStream : public RequestObserver,
                         public std::enable_shared_from_this<GenerationStream> {
 public:
  struct Options {
    std::string request_id;  // the client's
    std::string engine_id;   // the engine's
    absl::Duration retry_delay;
  };

  // Borrows the engine, the delivery thread and, until End, the writer.
  // `on_end` runs before the writer's End.
  GenerationStream(Options options, const ConvertedRequest& converted,
                   const ServedModel& model, SerialExecutor& delivery,
                   ChunkWriter& writer,
                   std::function<void(const GenerationSummary&)> on_end);

  const std::string& engine_id() const { return options_.engine_id; }

  void OnPrompt(const PromptEvent& event) override;
  void OnToken(const TokenEvent& event) override;
  void OnExpertLoad(const RequestExpertLoad& load) override;
  // Only the first call has an effect: the server itself ends requests that
  // the engine no longer can.
  void OnDone(const absl::Status& status, const RequestTiming& timing) override;

  // For a request that the engine refused: nothing will be written, not even
  // End. False if OnDone has been called before.
  bool Discard();

  // A write is done. If `ok` is false the client is gone, and the request is
  // cancelled.
  void OnWritten(bool ok);

  // The client has cancelled the call or its deadline has passed.
  void Cancel();

 private:
  struct Done {
    absl::Status status;
    RequestTiming timing;
  };
  // Events of the engine that are not delivered yet.
  struct PendingEvents {
    std::optional<PromptEvent> prompt;
    std::vector<TokenEvent> tokens;
    std::optional<RequestExpertLoad> expert_load;
    std::optional<Done> done;

    bool empty() const {
      return !prompt && tokens.empty() && !expert_load && !done;
    }
  };

  // Calls `add` with the pending events and schedules their delivery.
  template <typename Add>
  void Enqueue(Add add);
  // Writes until a write stays running or nothing is pending. Only the holder
  // of busy_ calls it.
  void Deliver();
  // Feeds the pending events to builder_. If there are none it releases busy_
  // and returns false.
  bool BuildChunks();
  void Finish();

  const Options options_;
  const ServedModel& model_;
  SerialExecutor& delivery_;

  std::mutex mutex_;
  PendingEvents events_;  // guarded by mutex_
  bool busy_ = false;     // guarded by mutex_; delivery runs or is scheduled
  bool ended_ = false;    // guarded by mutex_; OnDone has been called

  // Used by the holder of busy_ only.
  ChunkBuilder builder_;
  ChunkWriter& writer_;
  std::function<void(const GenerationSummary&)> on_end_;
  std::deque<v1::GenerateChunk> chunks_;  // to be written
  std::optional<Done> done_;
  bool wrote_ = false;
  bool client_is_gone_ = false;
};

}  // namespace moe
