// Links of ranks that are processes: what is known of those that die or stop.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "comm/control/control_link.h"
#include "comm/deadline.h"
#include "tests/comm/control/control_link_fixture.h"

namespace moe {
namespace {

// Rank 1 of 2 in a process of its own, which lives until it is killed. To be
// made before there are threads (sanitizers want it so).
class RankProcess {
 public:
  RankProcess() {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(ends[1]);
      Live(ends[0]);
    }
    close(ends[0]);
    address_ = ends[1];
  }
  ~RankProcess() {
    close(address_);
    Signal(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  void Join(const ControlLinkAddress& address) {
    const std::string bytes = address.Serialize();
    EXPECT_EQ(write(address_, bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  void Signal(int number) const { kill(pid_, number); }
  pid_t pid() const { return pid_; }

 private:
  [[noreturn]] static void Live(int address) {
    char bytes[1024];
    const ssize_t size = read(address, bytes, sizeof(bytes));
    const auto parsed = ControlLinkAddress::Parse(
        absl::string_view(bytes, std::max<ssize_t>(size, 0)));
    if (!parsed.ok()) _exit(1);
    const auto link =
        ControlLink::Connect(Options(1, 2), *parsed, kWaitTimeout, {});
    if (!link.ok()) _exit(1);
    while (true) pause();
  }

  pid_t pid_ = -1;
  int address_ = -1;  // where the process reads it
};

TEST(ControlLinkProcessTest, AKilledRankIsKnownAtOnce) {
  RankProcess rank;
  Told told;
  auto root = ControlLink::Listen(Options(0, 2), told.Listener());
  ASSERT_TRUE(root.ok());
  rank.Join((*root)->address());
  ASSERT_TRUE((*root)->AwaitAll(kWaitTimeout).ok());
  const Deadline clock(kWaitTimeout);
  rank.Signal(SIGKILL);
  const absl::Status reason = told.Wait();
  // Milliseconds, in truth; but the machine may be busy.
  EXPECT_LT(clock.Elapsed(), absl::Seconds(1));
  EXPECT_TRUE(
      absl::StrContains(reason.message(), absl::StrCat("process ", rank.pid())))
      << reason;
}

TEST(ControlLinkProcessTest, AStoppedRankFailsWhenTheWatchdogSaysSo) {
  RankProcess rank;
  Told told;
  auto root = ControlLink::Listen(Options(0, 2), told.Listener());
  ASSERT_TRUE(root.ok());
  rank.Join((*root)->address());
  ASSERT_TRUE((*root)->AwaitAll(kWaitTimeout).ok());
  rank.Signal(SIGSTOP);
  EXPECT_TRUE(Eventually(
      [&] { return (*root)->Peers()[0].silence > absl::Milliseconds(100); }));
  EXPECT_TRUE((*root)->status().ok());
  // It comes back in time.
  rank.Signal(SIGCONT);
  EXPECT_TRUE(Eventually(
      [&] { return (*root)->Peers()[0].silence < absl::Milliseconds(100); }));
  (*root)->SetWatchdog(absl::Milliseconds(300));
  rank.Signal(SIGSTOP);
  const absl::Status reason = told.Wait();
  EXPECT_TRUE(absl::StrContains(reason.message(),
                                "has said nothing for 300ms: it is stopped"))
      << reason;
}

}  // namespace
}  // namespace moe
