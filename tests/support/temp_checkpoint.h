#pragma once

#include <string>
#include <vector>

namespace moe {

std::string ReadFileOrDie(const std::string& path);
void WriteFileOrDie(const std::string& path, const std::string& bytes);

// A copy of a golden checkpoint in the test's temporary directory, to be
// damaged. Useful for tests of a reader's errors. The destructor removes it.
class TempCheckpoint {
 public:
  // Of tests/goldens/megatron_deepspeed, such as "variants/strays".
  explicit TempCheckpoint(const std::string& golden);
  ~TempCheckpoint();
  TempCheckpoint(const TempCheckpoint&) = delete;
  TempCheckpoint& operator=(const TempCheckpoint&) = delete;

  const std::string& path() const { return path_; }
  // Paths of the *.pt files, sorted.
  const std::vector<std::string>& files() const { return files_; }
  // The one file whose name contains `part`.
  std::string File(const std::string& part) const;
  std::string tag_path() const;

 private:
  std::string path_;
  std::vector<std::string> files_;
};

}  // namespace moe
