#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace moe {

// Listens on a TCP address and hands on the connections that come. gRPC could
// do it, but gives a port up for good the first time that the process has no
// file descriptor left. This one refuses connections before there is none, so
// that the rest of the process still gets its own, and goes on when some are
// closed.
class ConnectionListener {
 public:
  // Takes ownership of a connected socket, which does not block. Called on the
  // listener's thread.
  using Take = std::function<void(int fd)>;

  // Binds the address, all that it resolves to if it is a name, and nothing
  // else. `port` 0: a free one. kUnavailable if it cannot be had.
  static absl::StatusOr<std::unique_ptr<ConnectionListener>> Open(
      const std::string& address, int port);
  // Stops: `take` does not run when this returns.
  ~ConnectionListener();
  ConnectionListener(const ConnectionListener&) = delete;
  ConnectionListener& operator=(const ConnectionListener&) = delete;

  int port() const { return port_; }

  // Connections come from now on. `user_timeout`: how long what has been sent
  // may go without an answer of the other side's kernel. Once.
  void Start(absl::Duration user_timeout, Take take);

 private:
  ConnectionListener() = default;
  absl::Status Bind(const std::string& address, int port);
  void Run();
  void Accept(int listening);
  void Prepare(int fd) const;
  // One that could not be taken; logged now and then.
  void CountRefused(const char* why);
  void Pause() const;

  std::vector<int> sockets_;
  int stop_ = -1;  // an eventfd
  std::atomic<bool> stopping_ = false;
  int port_ = 0;
  int user_timeout_ms_ = 0;
  Take take_;
  int64_t num_refused_ = 0;  // since the last line; of the thread
  absl::Time last_line_ = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace moe
