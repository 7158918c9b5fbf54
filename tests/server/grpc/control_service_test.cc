#include "server/grpc/control_service.h"

#include <gtest/gtest.h>

namespace moe {
namespace {

TEST(ControlServiceTest, KnowsPeersOfTheSameHost) {
  for (const char* peer :
       {"unix:/tmp/socket", "ipv4:127.0.0.1:4711", "ipv4:127.1.2.3:1",
        "ipv6:[::1]:4711", "ipv6:%5B::1%5D:4711",
        "ipv6:[::ffff:127.0.0.1]:80"}) {
    EXPECT_TRUE(IsLocalPeer(peer)) << peer;
  }
  for (const char* peer : {"ipv4:10.0.0.1:4711", "ipv6:[2001:db8::1]:4711",
                           "ipv4:1.127.0.0:1", "ipv6:[::1234]:1", ""}) {
    EXPECT_FALSE(IsLocalPeer(peer)) << peer;
  }
}

}  // namespace
}  // namespace moe
