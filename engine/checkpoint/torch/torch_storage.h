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

// The bytes of a file that tensors view, with their checksum if the file has
// one. Thread-safe except Announce. Borrows the bytes.
class TorchStorage {
 public:
  // `crc`: 0 for none.
  TorchStorage(absl::string_view bytes, uint32_t crc)
      : bytes_(bytes), crc_(crc) {}

  absl::string_view bytes() const { return bytes_; }
  uint32_t crc() const { return crc_; }
  // Of the first tensor announced.
  const std::string& name() const { return name_; }

  // Announces that the tensor `name` will read `num_bytes` of it.
  void Announce(size_t num_bytes, absl::string_view name);

  // True if it has a checksum and enough of it is announced to read all and
  // verify it.
  bool is_checked() const;
  // True if Verify has not read it yet.
  bool is_unread() const;

  // True if the bytes match their checksum, or are not verified. The first call
  // reads them and adds them to `bytes_read`.
  bool Verify(std::atomic<int64_t>& bytes_read) const;

  // Records that `num_runs` runs of `run_bytes` bytes were read, `step_bytes`
  // from start to start.
  void AddRuns(int64_t first_byte, int64_t run_bytes, int64_t step_bytes,
               int64_t num_runs) const;
  // The checksum of the runs since the last call, for storage `number`;
  // nullopt: none.
  std::optional<PartialChecksum> TakePartialChecksum(int64_t number) const;
  // True if `merged` covers all bytes once and matches; they are then verified.
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
