#include "engine/checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

absl::Status ErrnoStatus(const std::string& path, const char* action) {
  const int error = errno;
  const std::string message =
      absl::StrCat(path, ": ", action, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::DataLossError(message);
  }
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return ErrnoStatus(path, "cannot open");
  struct stat info;
  if (fstat(fd, &info) != 0) {
    absl::Status status = ErrnoStatus(path, "cannot stat");
    close(fd);
    return status;
  }
  if (!S_ISREG(info.st_mode) || info.st_size == 0) {
    close(fd);
    return absl::DataLossError(
        absl::StrCat(path, S_ISREG(info.st_mode) ? ": is empty"
                                                 : ": is not a regular file"));
  }
  const size_t size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  absl::Status status =
      data == MAP_FAILED ? ErrnoStatus(path, "cannot map") : absl::OkStatus();
  close(fd);  // the mapping keeps the file
  if (!status.ok()) return status;
  return MappedFile(path, data, size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace moe
