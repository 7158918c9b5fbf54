#include "engine/checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/file_kind.h"

namespace moe {
namespace {

// The kernel reads at most this much ahead per request.
constexpr size_t kPrefetchBytes = size_t{128} << 10;

absl::Status ErrnoStatus(const std::string& path, const char* action) {
  const int error = errno;
  std::string message =
      absl::StrCat(path, ": ", action, ": ", std::strerror(error));
  std::error_code ignored;
  if ((error == ENOENT || error == ELOOP) &&
      std::filesystem::is_symlink(path, ignored)) {
    absl::StrAppend(&message, ": it is ", DescribePath(path));
  }
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(message, PermissionHint()));
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
        S_ISREG(info.st_mode)
            ? absl::StrCat(path, ": is ", DescribeBytes(""), "; copy it again")
            : absl::StrCat(path, ": is not a regular file but ",
                           DescribePath(path)));
  }
  const size_t size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  absl::Status status =
      data == MAP_FAILED ? ErrnoStatus(path, "cannot map") : absl::OkStatus();
  close(fd);  // the mapping keeps the file
  if (!status.ok()) return status;
  // Ranks read parts of the same file; the kernel's readahead would fetch most
  // of the file for each of them.
  madvise(data, size, MADV_RANDOM);
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

void MappedFile::Prefetch(size_t first, size_t run_bytes, size_t step_bytes,
                          size_t num_runs) const {
  static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (run_bytes == 0 || num_runs == 0) return;
  char* const base = static_cast<char*>(data_);
  // One request for runs that share a page.
  size_t begin = first / page * page;
  size_t end = begin;
  const auto flush = [&] {
    end = std::min(end, size_);
    for (; begin < end; begin += kPrefetchBytes) {
      // If it fails, the pages are read on first access.
      madvise(base + begin, std::min(kPrefetchBytes, end - begin),
              MADV_WILLNEED);
    }
  };
  for (size_t i = 0; i < num_runs; ++i) {
    const size_t run = first + i * step_bytes;
    if (run >= size_ || run_bytes > size_ - run) break;
    const size_t run_begin = run / page * page;
    if (run_begin > end) {
      flush();
      begin = run_begin;
    }
    end = (run + run_bytes + page - 1) / page * page;
  }
  flush();
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace moe
