#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace moe {

// What is found in place of an expected file, in words for error messages. They
// follow "is" or "but": "a Git LFS pointer, not the file it stands for: run
// ...". Thread-safe.

// The kind of a file by its bytes: all of them, or its first 512 or more. Reads
// at most 1 MiB of them. Other than text, zeros and known kinds: the first
// bytes in hexadecimal.
std::string DescribeBytes(absl::string_view bytes);

// True for text, JSON included, that is none of the kinds that are found by
// mistake (pages, pointers).
bool IsOrdinaryText(absl::string_view bytes);

// What is at `path`: "a directory", "a symbolic link to X, which does not
// exist", "a file", "a named pipe", ...; "nothing" if there is nothing.
std::string DescribePath(const std::string& path);

// "; this process runs as user 1000": what to look at when a file or directory
// may not be read.
std::string PermissionHint();

}  // namespace moe
