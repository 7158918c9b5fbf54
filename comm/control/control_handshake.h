#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe {

// How the two ends of a control link find out that they are of one job: each
// proves that it knows the job's secret without sending it, since what listens
// at an address tried by a rank may be somebody else's.
//
//   rank 0 -> rank   Challenge  a nonce of rank 0
//   rank -> rank 0   Hello      who it is, a nonce, proof over both
//   rank 0 -> rank   Welcome    who rank 0 is, proof over both
//
// Payloads of control frames; at most kMaxHandshakeBytes each.
inline constexpr size_t kMaxHandshakeBytes = 512;

using ControlSecret = std::array<uint8_t, 16>;
using ControlNonce = std::array<uint8_t, 16>;

// Random bytes from the system.
std::array<uint8_t, 16> RandomBytes16();

// A process of the job. `host` is cut to 255 bytes.
struct ControlIdentity {
  int32_t rank = 0;
  int64_t pid = 0;
  std::string host;
};

std::string MakeChallenge(const ControlNonce& nonce);
// kInvalidArgument for what is no challenge of this version.
absl::StatusOr<ControlNonce> ReadChallenge(absl::string_view payload);

std::string MakeHello(const ControlSecret& secret, const ControlIdentity& self,
                      const ControlNonce& challenge, const ControlNonce& own);
struct ControlHello {
  ControlIdentity peer;
  ControlNonce nonce;
};
// kPermissionDenied for a wrong proof.
absl::StatusOr<ControlHello> ReadHello(const ControlSecret& secret,
                                       const ControlNonce& challenge,
                                       absl::string_view payload);

std::string MakeWelcome(const ControlSecret& secret,
                        const ControlIdentity& self,
                        const ControlNonce& challenge,
                        const ControlNonce& hello);
absl::StatusOr<ControlIdentity> ReadWelcome(const ControlSecret& secret,
                                            const ControlNonce& challenge,
                                            const ControlNonce& hello,
                                            absl::string_view payload);

}  // namespace moe
