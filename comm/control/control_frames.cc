#include "comm/control/control_frames.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

constexpr size_t kHeaderBytes = 1 + sizeof(uint32_t);

}  // namespace

void AppendControlFrame(ControlFrameType type, absl::string_view payload,
                        std::string& out) {
  out.push_back(static_cast<char>(type));
  const uint32_t length = static_cast<uint32_t>(payload.size());
  out.append(reinterpret_cast<const char*>(&length), sizeof(length));
  out.append(payload.data(), payload.size());
}

absl::StatusOr<std::optional<ControlFrame>> ControlFrameReader::Next() {
  const size_t have = buffer_.size() - begin_;
  if (have < kHeaderBytes) return std::nullopt;
  const uint8_t type = static_cast<uint8_t>(buffer_[begin_]);
  uint32_t length = 0;
  std::memcpy(&length, &buffer_[begin_ + 1], sizeof(length));
  if (type < static_cast<uint8_t>(ControlFrameType::kChallenge) ||
      type > static_cast<uint8_t>(ControlFrameType::kStarted) ||
      length > max_payload_) {
    return absl::InvalidArgumentError(
        absl::StrCat("control link: a frame of type ", type, " and ", length,
                     " bytes; at most ", max_payload_, " are taken"));
  }
  if (have < kHeaderBytes + length) return std::nullopt;
  ControlFrame frame;
  frame.type = static_cast<ControlFrameType>(type);
  frame.payload = buffer_.substr(begin_ + kHeaderBytes, length);
  begin_ += kHeaderBytes + length;
  // The bytes in front have been read; most often there are no others.
  buffer_.erase(0, begin_);
  begin_ = 0;
  return frame;
}

}  // namespace moe
