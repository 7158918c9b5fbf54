#include "comm/control/control_handshake.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "absl/status/status.h"
#include "comm/control/control_frames.h"
#include "comm/control/sip_hash.h"

namespace moe {
namespace {

const ControlSecret kSecret = {1, 2, 3};
const ControlNonce kChallenge = {4, 5, 6};
const ControlNonce kOwn = {7, 8, 9};

TEST(SipHashTest, GivesThePublishedValues) {
  std::array<uint8_t, 16> key;
  std::iota(key.begin(), key.end(), 0);
  std::string data;
  EXPECT_EQ(SipHash(key, data), 0x726fdb47dd0e0e31u);
  for (char c = 0; c < 15; ++c) data.push_back(c);
  EXPECT_EQ(SipHash(key, data), 0xa129ca6149be45e5u);  // the paper's example
}

TEST(ControlHandshakeTest, BothSidesLearnWhoTheOtherIs) {
  const auto challenge = ReadChallenge(MakeChallenge(kChallenge));
  ASSERT_TRUE(challenge.ok());
  EXPECT_EQ(*challenge, kChallenge);
  const auto hello = ReadHello(
      kSecret, kChallenge, MakeHello(kSecret, {3, 99, "b"}, kChallenge, kOwn));
  ASSERT_TRUE(hello.ok()) << hello.status();
  EXPECT_EQ(hello->peer.rank, 3);
  EXPECT_EQ(hello->peer.pid, 99);
  EXPECT_EQ(hello->peer.host, "b");
  EXPECT_EQ(hello->nonce, kOwn);
  const auto welcome =
      ReadWelcome(kSecret, kChallenge, kOwn,
                  MakeWelcome(kSecret, {0, 98, "a"}, kChallenge, kOwn));
  ASSERT_TRUE(welcome.ok()) << welcome.status();
  EXPECT_EQ(welcome->host, "a");
}

TEST(ControlHandshakeTest, RefusesWhatWasNotMadeWithTheSecretAndTheNonces) {
  const std::string hello = MakeHello(kSecret, {3, 99, "b"}, kChallenge, kOwn);
  const auto refused = [&](const ControlSecret& secret,
                           const ControlNonce& challenge,
                           const std::string& bytes) {
    return ReadHello(secret, challenge, bytes).status().code() ==
           absl::StatusCode::kPermissionDenied;
  };
  EXPECT_TRUE(refused({1, 2, 4}, kChallenge, hello));
  EXPECT_TRUE(refused(kSecret, {1}, hello));  // said before, to another
  for (size_t i = 0; i < hello.size(); ++i) {
    std::string bad = hello;
    bad[i] ^= 1;
    EXPECT_TRUE(refused(kSecret, kChallenge, bad)) << i;
    EXPECT_TRUE(refused(kSecret, kChallenge, hello.substr(0, i))) << i;
  }
  // A hello sent back is no welcome.
  EXPECT_FALSE(
      ReadWelcome(kSecret, kChallenge, kOwn, hello.substr(sizeof(kOwn))).ok());
  EXPECT_FALSE(ReadChallenge("SSH-2.0-OpenSSH_9.2").ok());
  EXPECT_FALSE(ReadChallenge("").ok());
}

TEST(ControlHandshakeTest, LongHostNamesAreCut) {
  const std::string hello =
      MakeHello(kSecret, {1, 1, std::string(5000, 'h')}, kChallenge, kOwn);
  EXPECT_LE(hello.size(), kMaxHandshakeBytes);
  EXPECT_TRUE(ReadHello(kSecret, kChallenge, hello).ok());
}

TEST(ControlFrameReaderTest, CutsAStreamIntoFramesWhateverItsPieces) {
  std::string stream;
  AppendControlFrame(ControlFrameType::kHeartbeat, "", stream);
  AppendControlFrame(ControlFrameType::kFailure, "reason", stream);
  ControlFrameReader reader(6);
  std::vector<std::string> payloads;
  for (const char byte : stream) {
    reader.Add(std::string(1, byte));
    const auto frame = reader.Next();
    ASSERT_TRUE(frame.ok());
    if (frame->has_value()) payloads.push_back((*frame)->payload);
  }
  EXPECT_EQ(payloads, (std::vector<std::string>{"", "reason"}));
}

TEST(ControlFrameReaderTest, RefusesLongFramesBeforeTheyCome) {
  std::string stream;
  AppendControlFrame(ControlFrameType::kFailure, "reason!", stream);
  ControlFrameReader reader(6);
  reader.Add(stream.substr(0, 5));
  EXPECT_FALSE(reader.Next().ok());
  ControlFrameReader unknown(6);
  unknown.Add("GET / HTTP/1.1\r\n");
  EXPECT_FALSE(unknown.Next().ok());
}

}  // namespace
}  // namespace moe
