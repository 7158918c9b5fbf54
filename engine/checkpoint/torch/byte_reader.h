#pragma once

#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace moe {

// A bounds-checked cursor over borrowed bytes: a read past the end fails and
// does not advance. Numbers are little endian. Not thread-safe.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes, size_t offset = 0)
      : bytes_(bytes),
        offset_(offset <= bytes.size() ? offset : bytes.size()) {}

  size_t offset() const { return offset_; }
  size_t remaining() const { return bytes_.size() - offset_; }

  // T: an unsigned integer or a signed one.
  template <typename T>
  bool Read(T* value) {
    if (remaining() < sizeof(T)) return false;
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      bits |= static_cast<uint64_t>(static_cast<uint8_t>(bytes_[offset_ + i]))
              << (8 * i);
    }
    *value = static_cast<T>(bits);
    offset_ += sizeof(T);
    return true;
  }

  bool ReadBytes(uint64_t count, absl::string_view* bytes) {
    if (remaining() < count) return false;
    *bytes = bytes_.substr(offset_, static_cast<size_t>(count));
    offset_ += static_cast<size_t>(count);
    return true;
  }

  // The bytes before the next '\n', which is skipped.
  bool ReadLine(absl::string_view* line) {
    const size_t end = bytes_.find('\n', offset_);
    if (end == absl::string_view::npos) return false;
    *line = bytes_.substr(offset_, end - offset_);
    offset_ = end + 1;
    return true;
  }

  bool Skip(uint64_t count) {
    absl::string_view ignored;
    return ReadBytes(count, &ignored);
  }

 private:
  absl::string_view bytes_;
  size_t offset_;
};

}  // namespace moe
