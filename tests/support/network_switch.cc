#include "tests/support/network_switch.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

constexpr size_t kMaxFrameBytes = 1 << 16;
constexpr int kFramesAtOnce = 64;  // of one port, before the next port
constexpr int64_t kNsPerSecond = 1'000'000'000;

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

// The address as a number.
uint64_t AddressAt(const std::byte* bytes) {
  uint64_t address = 0;
  std::memcpy(&address, bytes, 6);
  return address;
}

absl::Status SystemError(absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("NetworkSwitch: ", what, ": ", std::strerror(errno)));
}

}  // namespace

NetworkSwitch::NetworkSwitch(std::vector<int> ports,
                             const NetworkSwitchOptions& options)
    : ports_(std::move(ports)),
      latency_ns_(absl::ToInt64Nanoseconds(options.latency)),
      bytes_per_second_(options.bytes_per_second),
      frame_ns_(absl::ToInt64Nanoseconds(options.frame_time)),
      out_free_ns_(ports_.size(), 0),
      in_free_ns_(ports_.size(), 0) {}

NetworkSwitch::~NetworkSwitch() {
  Stop();
  for (const int fd : {poll_, alarm_, stop_}) {
    if (fd >= 0) close(fd);
  }
}

absl::Status NetworkSwitch::Start() {
  poll_ = epoll_create1(EPOLL_CLOEXEC);
  alarm_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  stop_ = eventfd(0, EFD_CLOEXEC);
  if (poll_ < 0 || alarm_ < 0 || stop_ < 0) return SystemError("descriptors");
  std::vector<int> watched = ports_;
  watched.push_back(alarm_);
  watched.push_back(stop_);
  for (size_t i = 0; i < watched.size(); ++i) {
    const int flags = fcntl(watched[i], F_GETFL);
    if (flags < 0 || fcntl(watched[i], F_SETFL, flags | O_NONBLOCK) != 0) {
      return SystemError("O_NONBLOCK");
    }
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(i);
    if (epoll_ctl(poll_, EPOLL_CTL_ADD, watched[i], &event) != 0) {
      return SystemError("epoll_ctl");
    }
  }
  thread_ = std::thread([this] { Run(); });
  sched_param priority = {};
  priority.sched_priority = 1;
  is_realtime_ = pthread_setschedparam(thread_.native_handle(), SCHED_FIFO,
                                       &priority) == 0;
  return absl::OkStatus();
}

void NetworkSwitch::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  if (write(stop_, &one, sizeof(one)) != sizeof(one)) return;
  thread_.join();
}

NetworkSwitchCounters NetworkSwitch::counters() const {
  return {frames_, bytes_, dropped_, absl::Nanoseconds(latest_ns_.load())};
}

int64_t NetworkSwitch::TransferNs(size_t bytes) const {
  if (bytes_per_second_ <= 0) return frame_ns_;
  return frame_ns_ + static_cast<int64_t>(static_cast<double>(bytes) /
                                          bytes_per_second_ * kNsPerSecond);
}

void NetworkSwitch::Run() {
  const int num_ports = static_cast<int>(ports_.size());
  std::vector<epoll_event> ready(num_ports + 2);
  while (true) {
    const int count =
        epoll_wait(poll_, ready.data(), static_cast<int>(ready.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int which = static_cast<int>(ready[i].data.u32);
      if (which == num_ports + 1) return;
      if (which < num_ports) Read(which);
    }
    HandleEvents();
  }
}

void NetworkSwitch::Read(int port) {
  std::byte buffer[kMaxFrameBytes];
  for (int i = 0; i < kFramesAtOnce; ++i) {
    const ssize_t size = read(ports_[port], buffer, sizeof(buffer));
    if (size <= 0) return;
    ++frames_;
    bytes_ += size;
    if (size < 14) continue;  // no Ethernet header
    Forward(
        port,
        std::make_shared<const std::vector<std::byte>>(buffer, buffer + size),
        NowNs());
  }
}

void NetworkSwitch::Forward(int from, Frame frame, int64_t now_ns) {
  const uint64_t destination = AddressAt(frame->data());
  port_of_[AddressAt(frame->data() + 6)] = from;
  const int64_t start = std::max(now_ns, out_free_ns_[from]);
  out_free_ns_[from] = start + TransferNs(frame->size());
  const bool is_group = (std::to_integer<int>((*frame)[0]) & 1) != 0;
  const auto known = is_group ? port_of_.end() : port_of_.find(destination);
  for (int to = 0; to < static_cast<int>(ports_.size()); ++to) {
    if (to == from) continue;
    if (known != port_of_.end() && known->second != to) continue;
    events_.push({start + latency_ns_, sequence_++, to, true, frame});
  }
}

void NetworkSwitch::HandleEvents() {
  int64_t now = NowNs();
  while (!events_.empty() && events_.top().time_ns <= now) {
    Event event = events_.top();
    events_.pop();
    if (event.is_arrival) {
      const int64_t begin = std::max(event.time_ns, in_free_ns_[event.port]);
      event.time_ns = begin + TransferNs(event.frame->size());
      in_free_ns_[event.port] = event.time_ns;
      event.is_arrival = false;
      event.sequence = sequence_++;
      events_.push(std::move(event));
    } else {
      const ssize_t size = static_cast<ssize_t>(event.frame->size());
      if (write(ports_[event.port], event.frame->data(), size) != size) {
        ++dropped_;
      }
      now = NowNs();
      if (now - event.time_ns > latest_ns_) latest_ns_ = now - event.time_ns;
    }
  }
  itimerspec alarm = {};
  if (!events_.empty()) {
    alarm.it_value.tv_sec = events_.top().time_ns / kNsPerSecond;
    alarm.it_value.tv_nsec = events_.top().time_ns % kNsPerSecond;
  }
  // A time in the past expires at once; zeros stop the timer. Setting it also
  // clears an expiration.
  timerfd_settime(alarm_, TFD_TIMER_ABSTIME, &alarm, nullptr);
}

}  // namespace moe
