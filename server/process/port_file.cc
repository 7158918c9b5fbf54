#include "server/process/port_file.h"

#include <errno.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

absl::Status Error(const std::string& path, absl::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("server.port_file: \"", path, "\" ", problem));
}

absl::Status CannotWrite(const std::string& path) {
  return Error(path, absl::StrCat("cannot be written: ", strerror(errno)));
}

}  // namespace

absl::Status CheckPortFile(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return Error(path, "is a directory");
  }
  const std::filesystem::path directory =
      std::filesystem::absolute(path, ignored).parent_path();
  if (!std::filesystem::is_directory(directory, ignored)) {
    return Error(path, "is in a directory that does not exist");
  }
  // WritePortFile renames a temporary file: only the directory must be
  // writable.
  if (access(directory.c_str(), W_OK | X_OK) != 0) return CannotWrite(path);
  return absl::OkStatus();
}

absl::Status PreparePortFile(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckPortFile(path));
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return CannotWrite(path);
  return absl::OkStatus();
}

absl::Status WritePortFile(const std::string& path, int port) {
  if (path.empty()) return absl::OkStatus();
  const std::string temporary = path + ".tmp";
  std::ofstream stream(temporary);
  stream << port << "\n";
  stream.close();
  if (!stream || std::rename(temporary.c_str(), path.c_str()) != 0) {
    return CannotWrite(path);
  }
  return absl::OkStatus();
}

void RemovePortFile(const std::string& path, int port) {
  if (path.empty()) return;
  int written = -1;
  std::ifstream(path) >> written;
  if (written == port) unlink(path.c_str());
}

}  // namespace moe
