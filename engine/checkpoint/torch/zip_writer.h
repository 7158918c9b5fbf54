#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe {

// Writes a zip archive as PyTorch does: entries stored as they are, payloads at
// multiples of 64 bytes, ZIP64 where needed. Streams: it keeps only the names.
// Not thread-safe. Without Close() the file is not a valid archive.
class ZipWriter {
 public:
  // Replaces an existing file. kPermissionDenied, kNotFound (directory) or
  // kResourceExhausted (disk), here and below, naming the file.
  static absl::StatusOr<std::unique_ptr<ZipWriter>> Create(
      const std::string& path);

  // Starts an entry of `size` bytes; Append() must then add exactly these.
  absl::Status BeginEntry(const std::string& name, uint64_t size);
  absl::Status Append(absl::string_view bytes);
  absl::Status EndEntry();
  absl::Status AddEntry(const std::string& name, absl::string_view bytes);

  // Writes the directory and closes the file.
  absl::Status Close();

 private:
  struct Entry {
    std::string name;
    uint64_t offset = 0;
    uint64_t size = 0;
    uint32_t crc = 0;
  };
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  ZipWriter(std::string path, std::FILE* file)
      : path_(std::move(path)), file_(file) {}
  absl::Status Write(absl::string_view bytes);

  std::string path_;
  std::unique_ptr<std::FILE, CloseFile> file_;
  std::vector<Entry> entries_;
  uint64_t offset_ = 0;   // bytes written so far
  uint64_t missing_ = 0;  // of the open entry
};

}  // namespace moe
