#pragma once

#include <cstdint>

namespace moe {

// How many files, including connections, this process may have open at once.
int64_t FileLimit();

// Raises the limit to the hard limit, but not above 2^20.
void RaiseFileLimit();

}  // namespace moe
