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
#include "server/generation/chunk_builder.h"
#include "server/generation/chunk_writer.h"
#include "server/generation/serial_executor.h"

namespace moe {

// What is known of a request when it has ended, for the log.
struct GenerationSummary {
  std::string request_id;
  absl::Status status;
  int64_t num_prompt_tokens = 0;
  int64_t num_new_tokens = 0;
  std::string finish;  // of each answer
  RequestTiming timing;
};

// One request between the engine and its client. Tokens are queued by the
// engine's thread and delivered by others, so a slow client holds up nobody:
// while a write is on its way, tokens gather and then share a chunk. Shared by
// the engine (until OnDone), the call and the delivery thread. Thread-safe.
class GenerationStream : public RequestObserver,
                         public std::enable_shared_from_this<GenerationStream> {
 public:
  struct Options {
    std::string request_id;  // as the client knows it
    std::string engine_id;   // as the engine knows it
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
  // The first call counts: the server may end a request that the engine cannot.
  void OnDone(const absl::Status& status, const RequestTiming& timing) override;

  // Of a request that was not submitted: nothing will come, the writer's End
  // neither. False if its end is on the way already.
  bool Discard();

  // A write is done. Not OK: the client is gone, and the request is cancelled.
  void OnWritten(bool ok);

  // The client has cancelled the call or its deadline has passed.
  void Cancel();

 private:
  struct Done {
    absl::Status status;
    RequestTiming timing;
  };
  // What the engine has told since the last look.
  struct PendingEvents {
    std::optional<PromptEvent> prompt;
    std::vector<TokenEvent> tokens;
    std::optional<RequestExpertLoad> expert_load;
    std::optional<Done> done;

    bool empty() const {
      return !prompt && tokens.empty() && !expert_load && !done;
    }
  };

  // Adds to events_ by `add`, and sees to it that somebody delivers them.
  template <typename Add>
  void Enqueue(Add add);
  // Writes until a write is on its way or there is no events. Run by whoever
  // holds busy_.
  void Deliver();
  // Feeds events to the builder; false (and busy_ given up) if there is none.
  bool TakeNews();
  void Finish();

  const Options options_;
  const ServedModel& model_;
  SerialExecutor& delivery_;

  std::mutex mutex_;
  PendingEvents events_;           // guarded by mutex_
  bool busy_ = false;   // guarded by mutex_; somebody delivers or will
  bool ended_ = false;  // guarded by mutex_; OnDone has been called

  // Of whoever holds busy_.
  ChunkBuilder builder_;
  ChunkWriter& writer_;
  std::function<void(const GenerationSummary&)> on_end_;
  std::deque<v1::GenerateChunk> chunks_;  // to be written
  std::optional<Done> done_;
  bool wrote_ = false;
  bool client_is_gone_ = false;
};

}  // namespace moe
