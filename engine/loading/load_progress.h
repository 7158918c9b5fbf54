#pragma once

#include <cstdint>
#include <functional>

namespace moe {

// Called on the loading thread while it packs weights.
using LoadProgress =
    std::function<void(int64_t done_bytes, int64_t total_bytes)>;

}  // namespace moe
