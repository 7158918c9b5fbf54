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

// Writes lines to a file descriptor on a thread of its own, so that nobody who
// logs ever waits for who reads. What does not fit the queue is dropped, the
// oldest first, and told in one line when the reader goes on. Thread-safe.
class LogWriter {
 public:
  // The line, with its end, that says how many have been dropped. Called on the
  // writer's thread.
  using DescribeDropped = std::function<std::string(int64_t num_lines)>;

  // Borrows `fd`. `max_bytes`: of lines that wait.
  LogWriter(int fd, size_t max_bytes, DescribeDropped describe_dropped);
  // Waits until all has been written.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // `line` with its end. Does not wait.
  void Write(std::string line);

  // Waits until all lines so far have been written; false if `timeout` passes
  // first.
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
  int64_t num_dropped_ = 0;        // not told yet
  bool writing_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace moe
