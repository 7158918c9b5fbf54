#pragma once

#include <memory>

namespace moe {

// Keeps memory until the process ends: buffers of failed operations, which a
// transport may still use. Thread-safe.
void KeepUntilExit(std::shared_ptr<const void> memory);

}  // namespace moe
