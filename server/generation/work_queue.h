#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace moe {

// Runs the work of calls that a front end's few threads cannot afford. Short
// tasks have a thread of their own, and each of the two threads takes its
// shortest task first, so none waits behind longer ones but the one that runs.
// Thread-safe.
class WorkQueue {
 public:
  // Bounds on the tasks that wait.
  struct Limits {
    int64_t max_tasks = 256;
    int64_t max_bytes = int64_t{128} << 20;
  };
  struct Task {
    int64_t num_bytes = 0;  // of its input: what it costs
    // True once nobody waits for it. Called from any thread, before `run`.
    std::function<bool()> abandoned;
    // Called once, also if the task is abandoned: it then does nothing but end
    // its call.
    std::function<void()> run;
  };

  explicit WorkQueue(Limits limits);
  // Runs all tasks first.
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // Does not wait. kResourceExhausted if too much waits already, not counting
  // abandoned tasks; `task` is then not run. May run abandoned ones.
  absl::Status Add(Task task);

  // Tasks of up to this many bytes are short.
  static constexpr int64_t kShortBytes = 256 << 10;

 private:
  // By num_bytes, then in the order of arrival.
  using Tasks = std::map<std::pair<int64_t, int64_t>, Task>;

  // Waiting tasks and their thread.
  struct Lane {
    Tasks tasks;  // guarded by mutex_
    std::condition_variable changed;
    std::thread thread;
  };

  void Run(Lane& lane);
  // These need mutex_.
  Task Take(Tasks& tasks, Tasks::iterator task);
  std::vector<Task> TakeAbandoned();
  bool HasRoom(int64_t num_bytes) const;

  const Limits limits_;
  std::mutex mutex_;
  int64_t num_added_ = 0;  // guarded by mutex_, as are those below
  int64_t num_waiting_ = 0;
  int64_t waiting_bytes_ = 0;
  bool stopping_ = false;
  // [short, long]. Last: their threads use the members above.
  std::array<Lane, 2> lanes_;
};

}  // namespace moe
