#include "server/logging/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

namespace moe {
namespace {

// False if the reader is gone, or the disk is full.
bool WriteAll(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n >= 0) {
      done += n;
    } else if (errno == EAGAIN) {  // the descriptor is non-blocking
      pollfd ready = {fd, POLLOUT, 0};
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

LogWriter::LogWriter(int fd, size_t max_bytes, DescribeDropped describe_dropped)
    : fd_(fd),
      max_bytes_(max_bytes),
      describe_dropped_(std::move(describe_dropped)) {
  // The thread handles no signals; SIGPIPE is blocked too.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LogWriter::~LogWriter() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  queued_.notify_one();
  thread_.join();
}

void LogWriter::Write(std::string line) {
  {
    std::lock_guard lock(mutex_);
    num_bytes_ += line.size();
    lines_.push_back(std::move(line));
    // The newest line is always kept.
    while (num_bytes_ > max_bytes_ && lines_.size() > 1) {
      num_bytes_ -= lines_.front().size();
      lines_.pop_front();
      ++num_dropped_;
    }
  }
  queued_.notify_one();
}

bool LogWriter::Flush(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  return written_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                           [this] { return lines_.empty() && !writing_; });
}

void LogWriter::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    queued_.wait(lock, [this] { return stopping_ || !lines_.empty(); });
    if (lines_.empty()) return;
    writing_ = true;
    const int64_t dropped = std::exchange(num_dropped_, 0);
    std::string line;
    if (dropped == 0) {
      line = std::move(lines_.front());
      num_bytes_ -= line.size();
      lines_.pop_front();
    }
    lock.unlock();
    if (dropped > 0) line = describe_dropped_(dropped);
    const bool ok = WriteAll(fd_, line);
    lock.lock();
    writing_ = false;
    if (!ok) num_dropped_ += dropped == 0 ? 1 : dropped;
    // If even this line cannot be written, drop the others instead of retrying
    // for ever.
    if (!ok && dropped > 0) {
      num_dropped_ += lines_.size();
      lines_.clear();
      num_bytes_ = 0;
    }
    if (lines_.empty()) written_.notify_all();
  }
}

}  // namespace moe
