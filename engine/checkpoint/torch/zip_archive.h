#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe {

// One stored file of a zip archive.
struct ZipEntry {
  absl::string_view name;
  absl::string_view payload;
  // 0 also means "not computed", an option of recent PyTorch.
  uint32_t crc = 0;
};

// The directory of a zip file in memory, as PyTorch writes it: entries stored
// without compression, sizes in the central directory only, ZIP64 where needed.
// Checks everything against the bounds of the file. Views point into the bytes
// given to Parse, which must outlive the archive. Immutable, thus thread-safe.
class ZipArchive {
 public:
  static bool LooksLikeZip(absl::string_view bytes);

  // kDataLoss, naming `path` and what is wrong, for a damaged archive, one with
  // compressed, encrypted, overlapping or equally named entries, or one that is
  // split over several files.
  static absl::StatusOr<ZipArchive> Parse(absl::string_view bytes,
                                          const std::string& path);

  const std::vector<ZipEntry>& entries() const { return entries_; }
  // nullptr if there is no entry of that name.
  const ZipEntry* Find(absl::string_view name) const;

 private:
  std::vector<ZipEntry> entries_;
  absl::flat_hash_map<absl::string_view, size_t> index_;
};

}  // namespace moe
