#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace moe {

// The CRC-32 of zip files (polynomial 0xedb88320). `crc` is the value of the
// preceding bytes, so that Crc32(b, Crc32(a)) == Crc32(a + b). About 2 GB/s.
uint32_t Crc32(absl::string_view bytes, uint32_t crc = 0);

}  // namespace moe
