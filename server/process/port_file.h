#pragma once

#include <string>

#include "absl/status/status.h"

namespace moe {

// The file that contains the server's port. It exists while the server is
// ready. With an empty path there is none, and these functions do nothing.

// kInvalidArgument if the file could not be written.
absl::Status CheckPortFile(const std::string& path);

// The same, and removes the file of an earlier server.
absl::Status PreparePortFile(const std::string& path);

// Atomic: a reader never sees a part of the file.
absl::Status WritePortFile(const std::string& path, int port);

// Removes the file unless it contains another port, of another server.
void RemovePortFile(const std::string& path, int port);

}  // namespace moe
