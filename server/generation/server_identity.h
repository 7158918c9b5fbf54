#pragma once

#include <string>

#include "absl/time/time.h"

namespace moe {

inline constexpr char kServerVersion[] = "0.1.0";

// Which server this is, among versions and restarts.
struct ServerIdentity {
  std::string version;
  std::string instance_id;  // random
  absl::Time start_time;
};

// An identity that starts now.
ServerIdentity MakeServerIdentity();

}  // namespace moe
