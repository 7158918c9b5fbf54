#include "kernels/core/thread_pool.h"

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace moe {
namespace {

class ThreadPoolTest : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, RunsEachTaskOnceOnAKnownWorker) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.num_threads(), GetParam());
  for (int64_t num_tasks : {0, 1, 2, 3, 7, 64, 1009}) {
    std::vector<std::atomic<int>> runs(num_tasks);
    std::atomic<int> bad_workers{0};
    pool.ParallelFor(num_tasks, [&](int64_t task, int worker) {
      runs[task].fetch_add(1);
      if (worker < 0 || worker >= GetParam()) bad_workers.fetch_add(1);
    });
    for (const auto& count : runs) EXPECT_EQ(count.load(), 1);
    EXPECT_EQ(bad_workers.load(), 0);
  }
}

// The writes of all tasks are visible to the caller, loop after loop, without
// atomics (the thread sanitizer checks the ordering).
TEST_P(ThreadPoolTest, LoopsInARowSeeEachOthersWrites) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> values(13, 0);
  for (int loop = 0; loop < 2000; ++loop) {
    pool.ParallelFor(13, [&](int64_t task, int) {
      values[task] += values[task] == loop ? 1 : 1000000;
    });
    ASSERT_EQ(values[loop % 13], loop + 1);
  }
  for (int64_t value : values) EXPECT_EQ(value, 2000);
}

// A worker runs one task at a time: per-worker scratch needs no lock.
TEST_P(ThreadPoolTest, WorkersDoNotShareTheirIndex) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> tasks_of_worker(GetParam(), 0);  // not atomic
  for (int loop = 0; loop < 200; ++loop) {
    pool.ParallelFor(50,
                     [&](int64_t, int worker) { ++tasks_of_worker[worker]; });
  }
  int64_t total = 0;
  for (int64_t count : tasks_of_worker) total += count;
  EXPECT_EQ(total, 200 * 50);
}

// Tasks long enough that the waiting sides stop spinning and sleep.
TEST_P(ThreadPoolTest, WakesSleepersAndWaitsForSlowTasks) {
  ThreadPool pool(GetParam());
  for (int loop = 0; loop < 5; ++loop) {
    std::atomic<int> done{0};
    pool.ParallelFor(GetParam() + 1, [&](int64_t task, int) {
      const auto until = std::chrono::steady_clock::now() +
                         std::chrono::microseconds(task == 0 ? 0 : 500);
      while (std::chrono::steady_clock::now() < until) {
      }
      done.fetch_add(1);
    });
    EXPECT_EQ(done.load(), GetParam() + 1);
    // Idle for longer than the workers spin.
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
  }
}

TEST_P(ThreadPoolTest, StopsWhileIdleAndRightAfterALoop) {
  for (int i = 0; i < 20; ++i) {
    ThreadPool idle(GetParam());
    ThreadPool used(GetParam());
    int64_t sum = 0;
    used.ParallelFor(1, [&](int64_t, int) { ++sum; });
    EXPECT_EQ(sum, 1);
  }
}

// More threads than this machine has CPUs, too.
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 8));

TEST(ThreadPoolPinTest, PinnedWorkersRunAllTasks) {
  ThreadPool pool(3, /*pin=*/true);
  std::atomic<int> done{0};
  pool.ParallelFor(100, [&](int64_t, int) { done.fetch_add(1); });
  EXPECT_EQ(done.load(), 100);
}

// In a child, whose address space has room for some stacks and not for 1024.
TEST(ThreadPoolCreateTest, AThreadThatTheSystemRefusesIsAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's shadow needs the address space";
#endif
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto create = [] {
    const rlimit space = {rlim_t{1} << 30, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &space);
    const auto pool = ThreadPool::Create(1024);
    std::fprintf(stderr, "%s\n", pool.status().ToString().c_str());
    // What has been given back is there for a smaller one.
    std::exit(ThreadPool::Create(4).ok() ? 7 : 1);
  };
  EXPECT_EXIT(create(), testing::ExitedWithCode(7),
              "RESOURCE_EXHAUSTED.*refuses thread .* of 1024.*1048576 KiB");
}

TEST(ThreadPoolCreateTest, GivesAPoolOfThatManyThreads) {
  const auto pool = ThreadPool::Create(3);
  ASSERT_TRUE(pool.ok()) << pool.status();
  EXPECT_EQ((*pool)->num_threads(), 3);
  std::atomic<int> done{0};
  (*pool)->ParallelFor(100, [&](int64_t, int) { done.fetch_add(1); });
  EXPECT_EQ(done.load(), 100);
}

}  // namespace
}  // namespace moe
