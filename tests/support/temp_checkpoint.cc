#include "tests/support/temp_checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/golden.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Die(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::abort();
}

}  // namespace

std::string ReadFileOrDie(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Die("cannot open " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void WriteFileOrDie(const std::string& path, const std::string& bytes) {
  // Not in place, since the old file may be mapped.
  fs::remove(path);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) Die("cannot write " + path);
}

TempCheckpoint::TempCheckpoint(const std::string& golden) {
  const char* root = std::getenv("TEST_TMPDIR");
  std::string pattern =
      std::string(root == nullptr ? "/tmp" : root) + "/checkpoint_XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) Die("cannot create " + pattern);
  path_ = pattern;
  const fs::path source = GoldenDirectory(golden);
  for (const auto& entry : fs::recursive_directory_iterator(source)) {
    // Not fs::relative(), which follows the links to the golden files.
    const fs::path target = path_ / entry.path().lexically_relative(source);
    if (entry.is_directory()) {
      fs::create_directories(target);
      continue;
    }
    fs::create_directories(target.parent_path());
    // Runfiles are links and read-only.
    WriteFileOrDie(target, ReadFileOrDie(entry.path()));
    if (target.extension() == ".pt") files_.push_back(target);
  }
  std::sort(files_.begin(), files_.end());
}

TempCheckpoint::~TempCheckpoint() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TempCheckpoint::File(const std::string& part) const {
  std::vector<std::string> found;
  for (const std::string& file : files_) {
    if (fs::path(file).filename().string().find(part) != std::string::npos) {
      found.push_back(file);
    }
  }
  if (found.size() != 1) Die("not one file is named like " + part);
  return found[0];
}

std::string TempCheckpoint::tag_path() const {
  return fs::path(files_.at(0)).parent_path();
}

}  // namespace moe
