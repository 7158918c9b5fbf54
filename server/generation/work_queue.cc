#include "server/generation/work_queue.h"

#include <iterator>

#include "absl/strings/str_cat.h"

namespace moe {

WorkQueue::WorkQueue(Limits limits) : limits_(limits) {
  for (Lane& lane : lanes_) {
    lane.thread = std::thread([this, &lane] { Run(lane); });
  }
}

WorkQueue::~WorkQueue() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  for (Lane& lane : lanes_) {
    lane.changed.notify_one();
    lane.thread.join();
  }
}

absl::Status WorkQueue::Add(Task task) {
  absl::Status status;
  std::vector<Task> abandoned;
  {
    std::lock_guard lock(mutex_);
    if (!HasRoom(task.num_bytes)) abandoned = TakeAbandoned();
    if (HasRoom(task.num_bytes)) {
      Lane& lane = lanes_[task.num_bytes > kShortBytes];
      ++num_waiting_;
      waiting_bytes_ += task.num_bytes;
      lane.tasks.emplace(std::pair(task.num_bytes, ++num_added_),
                         std::move(task));
      lane.changed.notify_one();
    } else {
      status = absl::ResourceExhaustedError(
          absl::StrCat("the server has ", num_waiting_, " texts of ",
                       waiting_bytes_, " bytes to convert, and takes no more"));
    }
  }
  for (const Task& task : abandoned) task.run();
  return status;
}

void WorkQueue::Run(Lane& lane) {
  std::unique_lock lock(mutex_);
  while (true) {
    lane.changed.wait(lock, [&] { return stopping_ || !lane.tasks.empty(); });
    if (lane.tasks.empty()) return;
    // Their clients are gone, but their requests still take memory.
    std::vector<Task> tasks = TakeAbandoned();
    if (!lane.tasks.empty()) {
      tasks.push_back(Take(lane.tasks, lane.tasks.begin()));
    }
    lock.unlock();
    for (const Task& task : tasks) task.run();
    tasks.clear();
    lock.lock();
  }
}

WorkQueue::Task WorkQueue::Take(Tasks& tasks, Tasks::iterator task) {
  --num_waiting_;
  waiting_bytes_ -= task->second.num_bytes;
  return std::move(tasks.extract(task).mapped());
}

std::vector<WorkQueue::Task> WorkQueue::TakeAbandoned() {
  std::vector<Task> taken;
  for (Lane& lane : lanes_) {
    for (auto task = lane.tasks.begin(); task != lane.tasks.end();) {
      const auto next = std::next(task);
      if (task->second.abandoned()) taken.push_back(Take(lane.tasks, task));
      task = next;
    }
  }
  return taken;
}

bool WorkQueue::HasRoom(int64_t num_bytes) const {
  return num_waiting_ < limits_.max_tasks &&
         waiting_bytes_ + num_bytes <= limits_.max_bytes;
}

}  // namespace moe
