#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe {

// A regular file mapped read-only. Immutable after opening, thus thread-safe.
// Without readahead: an access reads single pages from the disk; Prefetch reads
// many at once. The file must not be shortened while it is mapped: reading the
// lost part would kill the process (SIGBUS).
class MappedFile {
 public:
  // kNotFound if there is no such file (or a link to none), kPermissionDenied
  // if it may not be read, kDataLoss if it is empty or not a regular file.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::string& path() const { return path_; }
  absl::string_view bytes() const {
    return absl::string_view(static_cast<const char*>(data_), size_);
  }

  // Asks the kernel to read `num_runs` runs of `run_bytes` bytes, `step_bytes`
  // from start to start, from byte `first` of the file on. Does not wait.
  void Prefetch(size_t first, size_t run_bytes, size_t step_bytes,
                size_t num_runs) const;

 private:
  MappedFile(std::string path, void* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace moe
