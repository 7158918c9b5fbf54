#include "server/config/listen_config.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "proto/config.pb.h"
#include "server/config/config_section.h"

namespace moe {
namespace {

absl::StatusOr<ListenConfig> Read(const config::Server& proto) {
  return ReadListen(proto, ConfigSection(proto, nullptr, "file", "server."));
}

TEST(ListenConfigTest, AVanishedClientIsNoticedWithinAMinuteByDefault) {
  const auto config = Read({});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_LE(config->keepalive_time + config->keepalive_timeout,
            absl::Minutes(1));
}

TEST(ListenConfigTest, MetadataHasALimit) {
  config::Server proto;
  EXPECT_EQ(Read(proto)->max_metadata_bytes, 64 << 10);
  proto.set_max_metadata_bytes(10000);
  EXPECT_EQ(Read(proto)->max_metadata_bytes, 10000);
  proto.set_max_metadata_bytes(8191);
  const absl::Status status = Read(proto).status();
  EXPECT_TRUE(absl::StrContains(status.message(), "server.max_metadata_bytes"))
      << status;
}

}  // namespace
}  // namespace moe
