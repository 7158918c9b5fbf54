#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace moe {

// The files of one DeepSpeed checkpoint.
struct DeepSpeedDirectory {
  struct ExpertFile {
    std::string path;
    int64_t expert = 0;   // global id
    int64_t mp_rank = 0;  // tensor rank that wrote it
    // Old form (DeepSpeed <= 0.5.10): one file holds the expert of all layers.
    bool all_layers = false;
  };

  std::string path;  // of the tag's directory
  std::string tag;   // its name, such as "global_step1000"
  std::vector<std::string> mp_rank_paths;  // [tensor degree]
  std::vector<ExpertFile> expert_files;    // by path
  // Of DeepSpeed's ds_to_universal, which leaves the experts' files out.
  bool is_universal = false;
};

// Finds the files below `path`: a directory with a file `latest`, which names
// the tag's directory in it, or such a directory itself. Opens none but
// `latest`. kNotFound if there is no checkpoint, saying what is there,
// kDataLoss for a `latest` that is no plain name or for missing tensor ranks,
// kInvalidArgument for layouts that are not supported (ZeRO-3, pipeline
// stages).
absl::StatusOr<DeepSpeedDirectory> FindDeepSpeedDirectory(
    const std::string& path);

}  // namespace moe
