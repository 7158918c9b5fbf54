#include "server/grpc/connection_listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"

namespace moe {
namespace {

constexpr int kPatienceMs = 30000;

// A connection to this host, or -1.
int Connect(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0)
    return fd;
  close(fd);
  return -1;
}

// Waits for a byte: 1 if one arrives, 0 or -1 at the end of the connection, -2
// at the timeout.
ssize_t ReadByte(int fd) {
  pollfd ready = {fd, POLLIN, 0};
  if (poll(&ready, 1, kPatienceMs) != 1) return -2;
  char byte = 0;
  return read(fd, &byte, 1);
}

// Sends a byte to every connection and keeps it open.
class Greeter {
 public:
  void Take(int fd) {
    EXPECT_EQ(write(fd, "!", 1), 1);
    EXPECT_NE(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    std::lock_guard lock(mutex_);
    taken_.push_back(fd);
  }
  void CloseAll() {
    std::lock_guard lock(mutex_);
    for (const int fd : taken_) close(fd);
    taken_.clear();
  }
  ~Greeter() { CloseAll(); }

 private:
  std::mutex mutex_;
  std::vector<int> taken_;
};

TEST(ConnectionListenerTest, HandsConnectionsOn) {
  Greeter greeter;
  auto listener = ConnectionListener::Open("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok()) << listener.status();
  (*listener)->Start(absl::Seconds(1), [&](int fd) { greeter.Take(fd); });
  const int client = Connect((*listener)->port());
  EXPECT_EQ(ReadByte(client), 1);
  listener->reset();
  close(client);
}

TEST(ConnectionListenerTest, TheAddressMustBeFreeAndOfThisHost) {
  const auto first = ConnectionListener::Open("localhost", 0);
  ASSERT_TRUE(first.ok()) << first.status();
  for (const char* address : {"127.0.0.1", "0.0.0.0"}) {
    const auto second = ConnectionListener::Open(address, (*first)->port());
    EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  }
  for (const char* address : {"203.0.113.7", "no.such.host.invalid", "a b"}) {
    const auto other = ConnectionListener::Open(address, 0);
    EXPECT_TRUE(absl::IsUnavailable(other.status())) << other.status();
  }
}

// gRPC's own listener treats 0.0.0.0 as every address, including IPv6.
TEST(ConnectionListenerTest, AnIpv4AddressIsNotWidened) {
  const auto listener = ConnectionListener::Open("0.0.0.0", 0);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto ipv6 = ConnectionListener::Open("[::1]", (*listener)->port());
  if (absl::StrContains(ipv6.status().message(), "assign requested") ||
      absl::StrContains(ipv6.status().message(), "not supported")) {
    GTEST_SKIP() << "no IPv6: " << ipv6.status();
  }
  EXPECT_TRUE(ipv6.ok()) << ipv6.status();
}

TEST(ConnectionListenerTest, OutlivesALackOfFileDescriptors) {
  Greeter greeter;
  auto listener = ConnectionListener::Open("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok()) << listener.status();
  (*listener)->Start(absl::Seconds(1), [&](int fd) { greeter.Take(fd); });
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit limit = before;
  limit.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);

  // Each connection has two descriptors in this process. The listener refuses
  // connections whose descriptor is 68 (100 - 32) or more.
  std::vector<int> clients;
  ssize_t last = 1;
  while (last == 1 && clients.size() < 100) {
    const int client = Connect((*listener)->port());
    ASSERT_GE(client, 0);
    clients.push_back(client);
    last = ReadByte(client);
  }
  EXPECT_EQ(last, 0) << clients.size();
  EXPECT_LT(clients.size(), 40u);

  greeter.CloseAll();
  for (const int client : clients) close(client);
  const int client = Connect((*listener)->port());
  EXPECT_EQ(ReadByte(client), 1);
  close(client);
  listener->reset();
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(ConnectionListenerTest, WaitsWhereTheKernelHasNoFileDescriptor) {
  Greeter greeter;
  auto listener = ConnectionListener::Open("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const int client = Connect((*listener)->port());  // waits in the queue
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit limit = before;
  limit.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  (*listener)->Start(absl::Seconds(1), [&](int fd) { greeter.Take(fd); });
  pollfd ready = {client, POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 50), 0);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(ReadByte(client), 1);
  close(client);
}

}  // namespace
}  // namespace moe
