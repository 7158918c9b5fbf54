#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/checkpoint/partial_checksum.h"
#include "engine/checkpoint/torch/crc32_pieces.h"

namespace moe {

// Bytes of a file that tensors are views of, with their checksum if the file
// has one. Thread-safe, but for Announce. Borrows the bytes.
class TorchStorage {
 public:
  // `crc`: 0 for none.
  TorchStorage(absl::string_view bytes, uint32_t crc)
      : bytes_(bytes), crc_(crc) {}

  absl::string_view bytes() const { return bytes_; }
  uint32_t crc() const { return crc_; }
  // Of the first tensor announced.
  const std::string& name() const { return name_; }

  // Tells that `num_bytes` of it will be read, of the tensor `name`.
  void Announce(size_t num_bytes, absl::string_view name);

  // Whether it has a checksum and so much of it is read that comparing it is
  // worth reading all.
  bool is_checked() const;
  // Whether Verify has still to read it.
  bool is_unread() const;

  // Whether the bytes match their checksum, which the first call reads them
  // for and counts in `bytes_read`. True where nothing is checked.
  bool Verify(std::atomic<int64_t>& bytes_read) const;

  // Notes that `num_runs` runs of `run_bytes` bytes were read, `step_bytes`
  // from start to start.
  void AddRuns(int64_t first_byte, int64_t run_bytes, int64_t step_bytes,
               int64_t num_runs) const;
  // What AddRuns noted since the last call, of storage `number`; nullopt:
  // nothing.
  std::optional<PartialChecksum> TakePartialChecksum(int64_t number) const;
  // Whether `merged` is of all bytes, each once, and matches; then they count
  // as verified.
  bool Accept(const PartialChecksum& merged) const;

 private:
  enum class Checksum : uint8_t { kUnknown, kGood, kBad };

  const absl::string_view bytes_;
  const uint32_t crc_;
  size_t used_bytes_ = 0;
  std::string name_;
  mutable std::atomic<Checksum> checksum_{Checksum::kUnknown};
  mutable std::mutex mutex_;
  mutable std::optional<Crc32Pieces> pieces_;  // guarded by mutex_
};

}  // namespace moe
