#include "tests/support/network_switch.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"

namespace moe {
namespace {

// A switch whose ports are datagram sockets; the test holds the other ends.
class NetworkSwitchTest : public testing::Test {
 protected:
  void Start(int num_ports, const NetworkSwitchOptions& options) {
    std::vector<int> ports;
    for (int i = 0; i < num_ports; ++i) {
      int pair[2];
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
      ports.push_back(pair[0]);
      hosts_.push_back(pair[1]);
      all_.insert(all_.end(), pair, pair + 2);
    }
    switch_ = std::make_unique<NetworkSwitch>(ports, options);
    const absl::Status status = switch_->Start();
    ASSERT_TRUE(status.ok()) << status;
  }

  void TearDown() override {
    switch_.reset();
    for (int fd : all_) close(fd);
  }

  // Every host lets the switch know where it is.
  void Introduce() {
    const int count = static_cast<int>(hosts_.size());
    for (int i = 0; i < count; ++i) Send(i, -1, 14, 'i');
    for (int i = 0; i < count; ++i) {
      for (int j = 1; j < count; ++j) EXPECT_EQ(Receive(i), 'i');
    }
  }

  // A frame from host `from` to host `to` (-1: everybody).
  void Send(int from, int to, size_t bytes, char mark) {
    std::string frame(bytes, mark);
    const char all[] = "\xff\xff\xff\xff\xff\xff";
    std::memcpy(frame.data(),
                to < 0 ? std::string(all, 6).data() : Address(to).data(), 6);
    std::memcpy(frame.data() + 6, Address(from).data(), 6);
    ASSERT_EQ(send(hosts_[from], frame.data(), frame.size(), 0),
              static_cast<ssize_t>(bytes));
  }

  // The mark of the next frame, '-' if there is none for `timeout`.
  char Receive(int host, absl::Duration timeout = absl::Seconds(10)) {
    pollfd ready = {hosts_[host], POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) !=
        1) {
      return '-';
    }
    char frame[1 << 16];
    const ssize_t size = recv(hosts_[host], frame, sizeof(frame), 0);
    return size > 12 ? frame[size - 1] : '?';
  }

  NetworkSwitch& network() { return *switch_; }

 private:
  static std::string Address(int host) {
    return std::string("\x02\0\0\0\0", 5) + static_cast<char>(host + 1);
  }

  std::vector<int> hosts_, all_;
  std::unique_ptr<NetworkSwitch> switch_;
};

TEST_F(NetworkSwitchTest, DeliversAfterTheLatencyAndInOrder) {
  Start(2, {absl::Milliseconds(20), 0, {}});
  const absl::Time begin = absl::Now();
  for (char mark : {'a', 'b', 'c'}) Send(0, 1, 100, mark);
  EXPECT_EQ(Receive(1), 'a');
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(20));
  EXPECT_EQ(Receive(1), 'b');
  EXPECT_EQ(Receive(1), 'c');
  EXPECT_EQ(network().counters().frames, 3);
  EXPECT_EQ(network().counters().bytes, 300);
  EXPECT_EQ(network().counters().dropped, 0);
}

TEST_F(NetworkSwitchTest, LimitsTheRateOfASender) {
  // 20 x 1000 bytes at a megabyte per second: 20 ms for the last.
  Start(3, {absl::ZeroDuration(), 1e6, {}});
  Introduce();
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 10; ++i) {
    Send(0, 1, 1000, 'a');
    Send(0, 2, 1000, 'b');
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Receive(1), 'a');
    EXPECT_EQ(Receive(2), 'b');
  }
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(20));
}

TEST_F(NetworkSwitchTest, LimitsTheRateOfAReceiver) {
  Start(3, {absl::ZeroDuration(), 1e6, {}});
  Introduce();
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 10; ++i) {
    Send(0, 2, 1000, 'a');
    Send(1, 2, 1000, 'b');
  }
  for (int i = 0; i < 20; ++i) EXPECT_NE(Receive(2), '-');
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(20));
}

TEST_F(NetworkSwitchTest, LimitsTheFramesOfASender) {
  Start(2, {absl::ZeroDuration(), 0, absl::Milliseconds(2)});
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 10; ++i) Send(0, 1, 20, 'a');
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Receive(1), 'a');
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(20));
}

TEST_F(NetworkSwitchTest, SendsToAllUntilItKnowsTheAddress) {
  Start(3, {});
  Send(0, 1, 100, 'a');  // host 1 has not sent anything yet
  EXPECT_EQ(Receive(1), 'a');
  EXPECT_EQ(Receive(2), 'a');
  Send(1, 0, 100, 'b');  // host 0 has spoken
  EXPECT_EQ(Receive(0), 'b');
  Send(2, 1, 100, 'c');
  EXPECT_EQ(Receive(1), 'c');
  Send(2, -1, 100, 'd');
  EXPECT_EQ(Receive(0), 'd');
  EXPECT_EQ(Receive(1), 'd');
  // No other copies came.
  network().Stop();
  for (int host = 0; host < 3; ++host) {
    EXPECT_EQ(Receive(host, absl::ZeroDuration()), '-') << host;
  }
}

TEST_F(NetworkSwitchTest, SurvivesWhatIsNoFrame) {
  Start(2, {});
  Send(0, 1, 13, 'x');
  Send(0, 1, 100, 'a');
  EXPECT_EQ(Receive(1), 'a');
}

TEST_F(NetworkSwitchTest, StopsWithFramesOnTheirWay) {
  Start(2, {absl::Hours(1), 0, {}});
  Send(0, 1, 100, 'a');
  network().Stop();
  EXPECT_EQ(Receive(1, absl::ZeroDuration()), '-');
}

}  // namespace
}  // namespace moe
