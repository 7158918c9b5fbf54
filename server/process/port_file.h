#pragma once

#include <string>

#include "absl/status/status.h"

namespace moe {

// The file that tells a port, and that the server is ready, while it is there.
// An empty path: none, and all of these do nothing.

// kInvalidArgument if the file could not be written.
absl::Status CheckPortFile(const std::string& path);

// The same, and removes what a server before has left.
absl::Status PreparePortFile(const std::string& path);

// Written at once: a reader never sees a part of it.
absl::Status WritePortFile(const std::string& path, int port);

// Removes the file, unless another server has written its own port meanwhile.
void RemovePortFile(const std::string& path, int port);

}  // namespace moe
