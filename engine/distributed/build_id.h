#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace moe {

// Names the binary that runs: its linker's build id, or a hash of the file.
std::string BuildId();

// 16 hexadecimal digits: equal for equal texts, and else not, bad luck apart.
std::string DigestOf(absl::string_view text);

}  // namespace moe
