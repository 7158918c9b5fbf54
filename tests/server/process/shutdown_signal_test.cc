#include "server/process/shutdown_signal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace moe {
namespace {

// Each test runs in its own process, with fresh signals and threads.

TEST(ShutdownSignalDeathTest, TheFirstSignalIsReported) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal shutdown;
        shutdown.Arm();
        kill(getpid(), SIGINT);
        _exit(shutdown.Wait() == SIGINT ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ShutdownSignalDeathTest, TheSecondSignalEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal shutdown;
        shutdown.Arm();
        kill(getpid(), SIGTERM);
        shutdown.Wait();
        kill(getpid(), SIGTERM);
        while (true) pause();
      },
      testing::ExitedWithCode(128 + SIGTERM), "");
}

TEST(ShutdownSignalDeathTest, BeforeItIsArmedTheFirstEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal shutdown;
        kill(getpid(), SIGINT);
        while (true) pause();
      },
      testing::ExitedWithCode(128 + SIGINT), "");
}

TEST(ShutdownSignalDeathTest, AHangupIsReportedUnlessItWasIgnored) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal shutdown;
        shutdown.Arm();
        kill(getpid(), SIGHUP);
        _exit(shutdown.Wait() == SIGHUP ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        signal(SIGHUP, SIG_IGN);
        ShutdownSignal shutdown;
        shutdown.Arm();
        kill(getpid(), SIGHUP);
        kill(getpid(), SIGTERM);
        _exit(shutdown.Wait() == SIGTERM ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ShutdownSignalDeathTest, TheLaunchersSignalIsReportedToo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal shutdown;
        shutdown.Arm();
        kill(getpid(), SIGUSR1);
        _exit(shutdown.Wait() == SIGUSR1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ShutdownSignalDeathTest, WakeEndsTheWaitWithoutASignal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal shutdown;
        shutdown.Arm();
        shutdown.Wake();
        _exit(shutdown.Wait());
      },
      testing::ExitedWithCode(0), "");
}

TEST(ShutdownSignalDeathTest, IgnoredSignalsDoNothing) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        {
          ShutdownSignal shutdown;
          shutdown.Ignore();
          for (int signal : {SIGTERM, SIGINT, SIGUSR1}) {
            kill(getpid(), signal);
            sigset_t pending;
            do {  // until the signal is handled
              sigpending(&pending);
            } while (sigismember(&pending, signal) == 1);
          }
        }
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ShutdownSignalDeathTest, ABrokenPipeEndsNothing) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal shutdown;
        raise(SIGPIPE);
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ShutdownSignalDeathTest, GoesAwayWithoutASignal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        { ShutdownSignal shutdown; }
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace moe
