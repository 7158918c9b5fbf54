#include "server/generation/health_monitor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "absl/status/status.h"

namespace moe {
namespace {

TEST(HealthMonitorTest, ReportsTheFirstResultAndEachChangeOnce) {
  std::mutex mutex;
  std::condition_variable changed;
  absl::Status health;
  std::vector<bool> reports;
  const auto wait_for_reports = [&](size_t n) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(10),
                            [&] { return reports.size() >= n; });
  };
  HealthMonitor monitor(
      [&] {
        std::lock_guard lock(mutex);
        return health;
      },
      [&](const absl::Status& status) {
        std::lock_guard lock(mutex);
        reports.push_back(status.ok());
        changed.notify_all();
      },
      absl::Milliseconds(1));
  ASSERT_TRUE(wait_for_reports(1));
  {
    std::lock_guard lock(mutex);
    health = absl::UnavailableError("stalled");
  }
  ASSERT_TRUE(wait_for_reports(2));
  {
    std::lock_guard lock(mutex);
    health = absl::OkStatus();
  }
  ASSERT_TRUE(wait_for_reports(3));
  std::lock_guard lock(mutex);
  EXPECT_EQ(reports, (std::vector<bool>{true, false, true}));
}

TEST(HealthMonitorTest, CheckNowDoesNotWaitForTheInterval) {
  std::atomic<bool> healthy = true;
  std::vector<bool> reports;
  // The monitor's own checks and CheckNow's exclude each other.
  HealthMonitor monitor(
      [&] {
        return healthy ? absl::OkStatus() : absl::UnavailableError("stalled");
      },
      [&](const absl::Status& status) { reports.push_back(status.ok()); },
      absl::Hours(1));
  monitor.CheckNow();  // the first check, or the second after the monitor's own
  EXPECT_EQ(reports, std::vector<bool>{true});
  healthy = false;
  monitor.CheckNow();
  EXPECT_EQ(reports, (std::vector<bool>{true, false}));
}

}  // namespace
}  // namespace moe
