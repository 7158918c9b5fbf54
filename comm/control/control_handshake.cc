#include "comm/control/control_handshake.h"

#include <cstring>
#include <random>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "comm/control/sip_hash.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr char kMagic[] = "moe-control-1";
constexpr size_t kMaxHostBytes = 255;

absl::string_view View(const std::array<uint8_t, 16>& bytes) {
  return absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                           bytes.size());
}

template <typename T>
void Append(T value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
bool Take(absl::string_view& in, T& value) {
  if (in.size() < sizeof(value)) return false;
  std::memcpy(&value, in.data(), sizeof(value));
  in.remove_prefix(sizeof(value));
  return true;
}

std::string IdentityBytes(const ControlIdentity& identity) {
  std::string bytes;
  Append(identity.rank, bytes);
  Append(identity.pid, bytes);
  bytes.append(identity.host, 0, kMaxHostBytes);
  return bytes;
}

// What the peer in `role` must prove.
uint64_t Proof(const ControlSecret& secret, absl::string_view role,
               const ControlNonce& challenge, const ControlNonce& hello,
               absl::string_view identity) {
  return SipHash(secret,
                 absl::StrCat(role, View(challenge), View(hello), identity));
}

absl::Status NotOfThisJob(absl::string_view what) {
  return absl::PermissionDeniedError(absl::StrCat(
      "control link: a ", what, " without the secret of this job"));
}

// proof, identity; `payload` after the nonce.
absl::StatusOr<ControlIdentity> ReadProven(const ControlSecret& secret,
                                           absl::string_view role,
                                           const ControlNonce& challenge,
                                           const ControlNonce& hello,
                                           absl::string_view payload) {
  uint64_t proof = 0;
  if (!Take(payload, proof) ||
      proof != Proof(secret, role, challenge, hello, payload)) {
    return NotOfThisJob(role);
  }
  ControlIdentity identity;
  if (!Take(payload, identity.rank) || !Take(payload, identity.pid)) {
    return NotOfThisJob(role);
  }
  identity.host = std::string(payload);
  return identity;
}

}  // namespace

std::array<uint8_t, 16> RandomBytes16() {
  std::random_device device;
  std::array<uint8_t, 16> bytes;
  for (size_t i = 0; i < bytes.size(); i += sizeof(unsigned)) {
    const unsigned word = device();
    std::memcpy(&bytes[i], &word, sizeof(word));
  }
  return bytes;
}

std::string MakeChallenge(const ControlNonce& nonce) {
  return absl::StrCat(kMagic, View(nonce));
}

absl::StatusOr<ControlNonce> ReadChallenge(absl::string_view payload) {
  ControlNonce nonce;
  if (!absl::ConsumePrefix(&payload, kMagic) || !Take(payload, nonce)) {
    return absl::InvalidArgumentError(
        "control link: the other end is no server of this version");
  }
  return nonce;
}

std::string MakeHello(const ControlSecret& secret, const ControlIdentity& self,
                      const ControlNonce& challenge, const ControlNonce& own) {
  const std::string identity = IdentityBytes(self);
  std::string payload(View(own));
  Append(Proof(secret, "hello", challenge, own, identity), payload);
  return payload + identity;
}

absl::StatusOr<ControlHello> ReadHello(const ControlSecret& secret,
                                       const ControlNonce& challenge,
                                       absl::string_view payload) {
  ControlHello hello;
  if (!Take(payload, hello.nonce)) return NotOfThisJob("hello");
  ASSIGN_OR_RETURN(
      hello.peer, ReadProven(secret, "hello", challenge, hello.nonce, payload));
  return hello;
}

std::string MakeWelcome(const ControlSecret& secret,
                        const ControlIdentity& self,
                        const ControlNonce& challenge,
                        const ControlNonce& hello) {
  const std::string identity = IdentityBytes(self);
  std::string payload;
  Append(Proof(secret, "welcome", challenge, hello, identity), payload);
  return payload + identity;
}

absl::StatusOr<ControlIdentity> ReadWelcome(const ControlSecret& secret,
                                            const ControlNonce& challenge,
                                            const ControlNonce& hello,
                                            absl::string_view payload) {
  return ReadProven(secret, "welcome", challenge, hello, payload);
}

}  // namespace moe
