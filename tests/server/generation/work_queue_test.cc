#include "server/generation/work_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace moe {
namespace {

constexpr int64_t kLong = WorkQueue::kShortBytes + 1;

bool Never() { return false; }

// Keeps one of the queue's threads busy until it is released.
class Blocker {
 public:
  Blocker(WorkQueue& queue, int64_t num_bytes) {
    std::promise<void> entered;
    const std::shared_future<void> released = released_.get_future().share();
    EXPECT_TRUE(queue
                    .Add({num_bytes, Never,
                          [&entered, released] {
                            entered.set_value();
                            released.wait();
                          }})
                    .ok());
    entered.get_future().wait();
  }
  void Release() { released_.set_value(); }

 private:
  std::promise<void> released_;
};

TEST(WorkQueueTest, AShortTaskDoesNotWaitForLongOnes) {
  std::atomic<bool> long_ran = false;
  WorkQueue queue({});
  Blocker blocker(queue, kLong);
  ASSERT_TRUE(queue.Add({kLong, Never, [&] { long_ran = true; }}).ok());
  std::promise<void> ran;
  ASSERT_TRUE(
      queue.Add({WorkQueue::kShortBytes, Never, [&] { ran.set_value(); }})
          .ok());
  ran.get_future().wait();
  EXPECT_FALSE(long_ran);
  blocker.Release();
}

TEST(WorkQueueTest, TheShortestTaskIsFirst) {
  std::string order;
  {
    WorkQueue queue({});
    Blocker blocker(queue, kLong);
    for (const auto& [num_bytes, name] :
         {std::pair(3 * kLong, 'c'), std::pair(kLong, 'a'),
          std::pair(2 * kLong, 'b'), std::pair(kLong, 'A')}) {
      ASSERT_TRUE(
          queue.Add({num_bytes, Never, [&, name = name] { order += name; }})
              .ok());
    }
    blocker.Release();
  }
  EXPECT_EQ(order, "aAbc");  // the destructor has run them all
}

TEST(WorkQueueTest, AbandonedTasksMakeRoom) {
  for (const WorkQueue::Limits limits :
       {WorkQueue::Limits{.max_tasks = 2},
        WorkQueue::Limits{.max_bytes = 2 * kLong}}) {
    bool abandoned = false;
    std::vector<int> ran(4);
    WorkQueue queue(limits);
    Blocker blocker(queue, kLong);
    const auto add = [&](int i) {
      return queue.Add({kLong, [&, i] { return i == 1 && abandoned; },
                        [&, i] { ++ran[i]; }});
    };
    ASSERT_TRUE(add(0).ok());
    ASSERT_TRUE(add(1).ok());
    EXPECT_TRUE(absl::IsResourceExhausted(add(2)));
    abandoned = true;
    EXPECT_TRUE(add(3).ok());
    EXPECT_EQ(ran, (std::vector<int>{0, 1, 0, 0}));
    blocker.Release();
  }
}

}  // namespace
}  // namespace moe
