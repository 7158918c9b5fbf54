#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"

namespace moe {

// Writes lines to a file descriptor on a thread of its own, so that a caller
// never waits for the reader. When the queue is full the oldest lines are
// dropped; one line says how many once the reader continues. Thread-safe.
class LogWriter {
 public:
  // Makes the line, with its newline, that says how many were dropped. Called
  // on the writer's thread.
  using DescribeDropped = std::function<std::string(int64_t num_lines)>;

  // Borrows `fd`. `max_bytes`: size of the queue.
  LogWriter(int fd, size_t max_bytes, DescribeDropped describe_dropped);
  // Waits until all lines are written.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // `line` includes its newline. Does not wait.
  void Write(std::string line);

  // Waits until all lines so far are written; false if `timeout` passes first.
  bool Flush(absl::Duration timeout);

 private:
  void Run();

  const int fd_;
  const size_t max_bytes_;
  const DescribeDropped describe_dropped_;
  std::mutex mutex_;
  std::condition_variable queued_;
  std::condition_variable written_;
  std::deque<std::string> lines_;  // this and the rest guarded by mutex_
  size_t num_bytes_ = 0;           // of lines_
  int64_t num_dropped_ = 0;        // not reported yet
  bool writing_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace moe
