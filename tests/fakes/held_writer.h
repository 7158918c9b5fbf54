#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/generation/generation_stream.h"

namespace moe {

// Keeps chunks; a write stays pending until the test calls
// GenerationStream::OnWritten. Useful for a client that does not read its
// answer. Thread-safe. Waits fail the test after ten seconds.
class HeldWriter : public ChunkWriter {
 public:
  bool Write(v1::GenerateChunk chunk) override;
  void End(const absl::Status& status) override;

  // The n-th chunk, once it is being written.
  v1::GenerateChunk WaitForChunk(size_t n);
  absl::Status WaitForEnd();
  bool ended();
  size_t num_chunks();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v1::GenerateChunk> chunks_;  // guarded by mutex_, as is status_
  std::optional<absl::Status> status_;
};

}  // namespace moe
