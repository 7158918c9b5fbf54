#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe {

// What the control link sends: type, length, payload.
enum class ControlFrameType : uint8_t {
  kChallenge = 1,  // rank 0 to a new connection
  kHello = 2,      // the answer
  kWelcome = 3,    // rank 0 to a rank that it has authenticated
  kHeartbeat = 4,  // payload: the rank's report; empty: nothing new
  kFailure = 5,    // payload: why the job fails
  kLeave = 6,      // the rank has finished
  kStarted = 7,    // rank 0 to all: the start is over
};

struct ControlFrame {
  ControlFrameType type = ControlFrameType::kHeartbeat;
  std::string payload;
};

// Appends the frame's bytes to `out`.
void AppendControlFrame(ControlFrameType type, absl::string_view payload,
                        std::string& out);

// Cuts a stream of bytes into frames.
class ControlFrameReader {
 public:
  explicit ControlFrameReader(size_t max_payload) : max_payload_(max_payload) {}

  void set_max_payload(size_t max_payload) { max_payload_ = max_payload; }
  void Add(const std::string& bytes) { buffer_ += bytes; }
  // The next whole frame, if there is one. kInvalidArgument for a frame longer
  // than is allowed or of no known type; nothing can be read after it.
  absl::StatusOr<std::optional<ControlFrame>> Next();

 private:
  size_t max_payload_;
  std::string buffer_;
  size_t begin_ = 0;  // of what has not been read
};

}  // namespace moe
