#pragma once

#include "absl/status/status.h"
#include "proto/moe/v1/generation.pb.h"

namespace moe {

// Receives the chunks of one request. A front end implements it for its call.
// One thread at a time calls it.
class ChunkWriter {
 public:
  virtual ~ChunkWriter() = default;
  // True if the write is still running: the writer then calls
  // GenerationStream::OnWritten when it is done. False if it is done already.
  virtual bool Write(v1::GenerateChunk chunk) = 0;
  // The status that the client gets instead of `status`. Called once, after the
  // last Write, so that the log tells what the client gets.
  virtual absl::Status StatusToSend(const absl::Status& status) {
    return status;
  }
  // The last call, made once; the writer may delete itself in it. `status`
  // carries the details of request_errors.h.
  virtual void End(const absl::Status& status) = 0;
};

}  // namespace moe
