// Real mpirun over several hosts that this machine emulates. Needs root,
// network namespaces and TAP devices; skips with the reason without them.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace moe {
namespace {

constexpr char kNetwork[] = "tests/support/virtual_network";
constexpr char kBenchmark[] = "tests/benchmarks/comm/exchange_benchmark";
constexpr char kServed[] = "tests/benchmarks/netns/served.py";
constexpr int kNotPossible = 77;

struct Result {
  int code = -1;
  std::string output;  // and errors
};

Result RunNetwork(const std::string& arguments) {
  const std::string command = absl::StrCat(kNetwork, " ", arguments, " 2>&1");
  Result result;
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer;
  while (const size_t size =
             std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), size);
  }
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

// The output of exchange_benchmark for one kind.
struct Row {
  double us = 0, predicted_us = 0;
  int messages = 0;
};

std::map<std::string, Row> ParseRows(const std::string& output) {
  std::map<std::string, Row> rows;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(output, '\n'))) {
    std::istringstream words(line);
    int tokens = 0;
    std::string kind;
    Row row;
    if (words >> tokens >> kind >> row.us >> row.predicted_us >> row.messages) {
      rows[kind] = row;
    }
  }
  return rows;
}

// Processes (without zombies) with this text in their arguments.
int CountProcesses(const std::string& text) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string words((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
    if (absl::StrContains(words, text)) ++count;
  }
  return count;
}

bool WaitUntil(absl::Duration timeout, const std::function<bool()>& is_true) {
  const absl::Time end = absl::Now() + timeout;
  while (!is_true()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return true;
}

class VirtualNetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    static const Result possible = RunNetwork("--nodes=2 -- true");
    if (possible.code == kNotPossible) GTEST_SKIP() << possible.output;
    ASSERT_EQ(possible.code, 0) << possible.output;
  }

  // A network with a process that says `mark`, inside; its process outside.
  static pid_t StartSleeper(const std::string& mark) {
    const pid_t child = fork();
    if (child != 0) return child;
    execl(kNetwork, kNetwork, "--", "sleep", mark.c_str(), nullptr);
    _exit(127);
  }

  static size_t CountScratch() {
    const char* const directory = std::getenv("TEST_TMPDIR");
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(
             directory != nullptr ? directory : "/tmp")) {
      count +=
          absl::StartsWith(entry.path().filename().string(), "virtual_network.")
              ? 1
              : 0;
    }
    return count;
  }
};

TEST_F(VirtualNetworkTest, StartsRanksOnEveryHost) {
  const Result result =
      RunNetwork("--nodes=3 -- mpirun -np 3 sh -c 'echo host $(hostname)'");
  EXPECT_EQ(result.code, 0) << result.output;
  for (const char* host : {"host node0", "host node1", "host node2"}) {
    EXPECT_TRUE(absl::StrContains(result.output, host)) << result.output;
  }
}

TEST_F(VirtualNetworkTest, EndsWithTheCommandsStatus) {
  EXPECT_EQ(RunNetwork("-- sh -c 'exit 7'").code, 7);
  EXPECT_EQ(RunNetwork("-- sh -c 'kill -9 $$'").code, 128 + SIGKILL);
  EXPECT_EQ(RunNetwork("-- /no/such/program").code, 127);
}

TEST_F(VirtualNetworkTest, ExchangesWaitForTheLatencyAndCountAsPredicted) {
  const Result result = RunNetwork(absl::StrCat(
      "--nodes=4 --ranks_per_node=2 --latency=4ms -- mpirun -np 8 ", kBenchmark,
      " --tokens=64 --hidden=64 --repetitions=3"));
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_TRUE(
      absl::StrContains(result.output, "4 nodes: 0-1 | 2-3 | 4-5 | 6-7"))
      << result.output;
  std::map<std::string, Row> rows = ParseRows(result.output);
  ASSERT_EQ(rows.size(), 3u) << result.output;
  // Counts, dispatch and combine; dispatch and combine.
  EXPECT_GE(rows["flat"].us, 3 * 4000) << result.output;
  EXPECT_GE(rows["hierarchical"].us, 3 * 4000) << result.output;
  EXPECT_GE(rows["replicated"].us, 2 * 4000) << result.output;
  // (p - 1) and (G - 1) + (N - 1), three times; 2 (p - 1).
  EXPECT_EQ(rows["flat"].messages, 3 * 7);
  EXPECT_EQ(rows["hierarchical"].messages, 3 * (1 + 3));
  EXPECT_EQ(rows["replicated"].messages, 2 * 7);
}

TEST_F(VirtualNetworkTest, HierarchicalWinsWhereMessagesAreDear) {
  // A host's link carries a frame in 0.7 ms, whatever its size: six messages of
  // each rank to other hosts in the flat exchange, three in the other.
  const Result result = RunNetwork(absl::StrCat(
      "--nodes=4 --ranks_per_node=2 --frame_time=700us -- mpirun -np 8 ",
      kBenchmark,
      " --tokens=64 --hidden=16 --repetitions=3 --kinds=flat,hierarchical"));
  ASSERT_EQ(result.code, 0) << result.output;
  std::map<std::string, Row> rows = ParseRows(result.output);
  EXPECT_LT(rows["hierarchical"].predicted_us, 0.9 * rows["flat"].predicted_us)
      << result.output;
  EXPECT_LT(rows["hierarchical"].us, 0.9 * rows["flat"].us) << result.output;
}

TEST_F(VirtualNetworkTest, AServedModelGivesTheTokensOfOneProcess) {
  const Result result = RunNetwork(
      absl::StrCat("--nodes=4 --ranks_per_node=2 --latency=1ms -- python3 ",
                   kServed, " . 8 hierarchical"));
  EXPECT_EQ(result.code, 0) << result.output;
  int equal = 0;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(result.output, '\n'))) {
    if (absl::StartsWith(line, "| hierarchical |") &&
        absl::EndsWith(line, "| equal |")) {
      ++equal;
    }
  }
  EXPECT_EQ(equal, 1) << result.output;
}

TEST_F(VirtualNetworkTest, LeavesNothingWhenItIsKilled) {
  for (const int number : {SIGKILL, SIGTERM}) {
    const size_t scratch = CountScratch();
    const std::string mark = absl::StrCat("1000.", getpid(), number);
    const pid_t network = StartSleeper(mark);
    // The program outside, its first process inside, and the sleeper.
    EXPECT_TRUE(WaitUntil(absl::Seconds(20),
                          [&] { return CountProcesses(mark) == 3; }));
    kill(network, number);
    int status = 0;
    EXPECT_EQ(waitpid(network, &status, 0), network);
    EXPECT_TRUE(
        WaitUntil(absl::Seconds(20), [&] { return CountProcesses(mark) == 0; }))
        << "after signal " << number;
    // An empty directory remains after SIGKILL, nothing after other signals.
    EXPECT_EQ(CountScratch(), scratch + (number == SIGKILL ? 1 : 0));
  }
}

}  // namespace
}  // namespace moe
