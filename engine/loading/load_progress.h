#pragma once

#include <cstdint>
#include <functional>

namespace moe {

// Called while weights are packed, on the thread that loads.
using LoadProgress =
    std::function<void(int64_t done_bytes, int64_t total_bytes)>;

}  // namespace moe
