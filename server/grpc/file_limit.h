#pragma once

#include <cstdint>

namespace moe {

// How many files, connections included, this process may have open at once.
int64_t FileLimit();

// Raises the limit as far as the process may (its hard limit, within reason).
void RaiseFileLimit();

}  // namespace moe
