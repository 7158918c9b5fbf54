#pragma once

#include <string>

#include "absl/time/time.h"

namespace moe {

inline constexpr char kServerVersion[] = "0.1.0";

// Identifies this server process among earlier and other ones.
struct ServerIdentity {
  std::string version;
  std::string instance_id;       // random
  absl::Time start_time;         // the system's, as clients are told
  absl::Time steady_start_time;  // by SteadyNow
};

// A new identity with the current time.
ServerIdentity MakeServerIdentity();

}  // namespace moe
