#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace moe {

struct ProcessResult {
  int exit_status = -1;  // 128 + n if signal n ended it
  std::string out;
  std::string err;
};

// A running //tools/client:client whose input and output are files.
class ClientProcess {
 public:
  // `out`: what standard output is instead.
  explicit ClientProcess(const std::vector<std::string>& arguments,
                         const std::string& input = "",
                         const std::string& out = "");
  ~ClientProcess();

  void Signal(int number);
  ProcessResult Wait();

 private:
  std::string prefix_;  // of its files
  pid_t pid_ = -1;
};

}  // namespace moe
