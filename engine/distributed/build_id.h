#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace moe {

// Identifies the running binary: the linker's build id, or a hash of the file.
std::string BuildId();

// A 64-bit hash of `text` as 16 hexadecimal digits.
std::string DigestOf(absl::string_view text);

}  // namespace moe
