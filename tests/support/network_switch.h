#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace moe {

struct NetworkSwitchOptions {
  absl::Duration latency;       // one way, between any two ports
  double bytes_per_second = 0;  // of each port, each direction; 0: no limit
  absl::Duration frame_time;    // additional time of a frame on a port
};

struct NetworkSwitchCounters {
  int64_t frames = 0;   // that came in
  int64_t bytes = 0;    // of these
  int64_t dropped = 0;  // by full ports
  // Largest lateness of a frame: the accuracy of the delays.
  absl::Duration latest;
};

// An Ethernet switch in user space that delays frames, for kernels that cannot.
// A frame from port s to port d occupies s for bytes / rate + frame time,
// travels for the latency and occupies d as long (both at once, if both are
// free: bits are not stored on the way). It learns addresses; frames to unknown
// or multicast addresses go to all ports. Useful for tests and benchmarks over
// TAP devices; needs some CPU time, and runs with real-time priority
// (SCHED_FIFO) if the system allows it.
class NetworkSwitch {
 public:
  // Each port is a descriptor that reads and writes one frame at a time (a TAP
  // device, a datagram socket); borrowed until Stop.
  NetworkSwitch(std::vector<int> ports, const NetworkSwitchOptions& options);
  ~NetworkSwitch();  // stops
  NetworkSwitch(const NetworkSwitch&) = delete;
  NetworkSwitch& operator=(const NetworkSwitch&) = delete;

  // Starts forwarding on a thread of its own. kInternal with the system's
  // reason.
  absl::Status Start();
  // Frames in flight are lost.
  void Stop();

  // True if the thread has real-time priority. After Start.
  bool is_realtime() const { return is_realtime_; }
  NetworkSwitchCounters counters() const;

 private:
  using Frame = std::shared_ptr<const std::vector<std::byte>>;
  struct Event {
    int64_t time_ns;
    int64_t sequence;  // equal times: in order
    int port;
    bool is_arrival;  // first bit at the port; else: last bit left it
    Frame frame;
    bool operator>(const Event& other) const {
      return time_ns != other.time_ns ? time_ns > other.time_ns
                                      : sequence > other.sequence;
    }
  };

  void Run();
  void Read(int port);
  void Forward(int from, Frame frame, int64_t now_ns);
  // Handles due events and sets the timer for the next.
  void HandleEvents();
  int64_t TransferNs(size_t bytes) const;

  const std::vector<int> ports_;
  const int64_t latency_ns_;
  const double bytes_per_second_;
  const int64_t frame_ns_;
  int poll_ = -1, alarm_ = -1, stop_ = -1;
  bool is_realtime_ = false;
  std::thread thread_;

  // Of the thread.
  std::vector<int64_t> out_free_ns_, in_free_ns_;  // [ports]
  std::unordered_map<uint64_t, int> port_of_;      // by Ethernet address
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  int64_t sequence_ = 0;

  std::atomic<int64_t> frames_{0}, bytes_{0}, dropped_{0}, latest_ns_{0};
};

}  // namespace moe
