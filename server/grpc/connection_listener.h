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

// Listens on a TCP address and passes on the connections that it accepts.
// gRPC's own listener closes its port for ever the first time that the process
// runs out of file descriptors. This one refuses connections shortly before, so
// that the rest of the process can still open files, and accepts again when
// others close.
class ConnectionListener {
 public:
  // Takes ownership of a connected, non-blocking socket. Called on the
  // listener's thread.
  using Take = std::function<void(int fd)>;

  // Binds exactly `address`; if it is a host name, all addresses that it
  // resolves to. `port` 0: any free port. kUnavailable if that fails.
  static absl::StatusOr<std::unique_ptr<ConnectionListener>> Open(
      const std::string& address, int port);
  // Stops listening; `take` is not running when this returns.
  ~ConnectionListener();
  ConnectionListener(const ConnectionListener&) = delete;
  ConnectionListener& operator=(const ConnectionListener&) = delete;

  int port() const { return port_; }

  // Starts to accept; call it once. `user_timeout` is TCP_USER_TIMEOUT: how
  // long sent data may stay unacknowledged before the connection is closed.
  void Start(absl::Duration user_timeout, Take take);

 private:
  ConnectionListener() = default;
  absl::Status Bind(const std::string& address, int port);
  void Run();
  void Accept(int listening);
  void Prepare(int fd) const;
  // Counts a refused connection; logs the count at most once per interval.
  void CountRefused(const char* why);
  void Pause() const;

  std::vector<int> sockets_;
  int stop_ = -1;  // an eventfd
  std::atomic<bool> stopping_ = false;
  int port_ = 0;
  int user_timeout_ms_ = 0;
  Take take_;
  int64_t num_refused_ = 0;  // since last_log_; thread_ only
  absl::Time last_log_ = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace moe
