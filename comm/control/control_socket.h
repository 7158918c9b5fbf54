#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "comm/deadline.h"

namespace moe {

// Owns a file descriptor. Movable.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { Close(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

// All sockets here are TCP, non-blocking, without delay, and not inherited by
// child processes.

struct ListeningSocket {
  FileDescriptor socket;
  int port = 0;
};

// At a free port: of the loopback interface, or of all interfaces.
absl::StatusOr<ListeningSocket> ListenOnFreePort(bool loopback_only);

// The next connection; invalid if there is none now.
FileDescriptor AcceptConnection(const FileDescriptor& listener);

// `address` is numeric. kUnavailable, with the reason, at the latest when the
// deadline passes.
absl::StatusOr<FileDescriptor> ConnectTo(const std::string& address, int port,
                                         const Deadline& deadline);

// Appends what has arrived, at most `max_bytes`; false at the end of the
// stream or at an error.
bool ReceiveInto(const FileDescriptor& socket, size_t max_bytes,
                 std::string& out);

// Sends what the system takes now off the front of `out`; false at an error.
bool SendFrom(const FileDescriptor& socket, std::string& out);

}  // namespace moe
