#include "engine/checkpoint/deepspeed/wrong_directory.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/file_kind.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

constexpr size_t kMaxNamed = 4;         // entries named in a message
constexpr size_t kMaxDirectories = 64;  // that are looked into
constexpr size_t kMaxNameBytes = 100;   // of an entry in a message
constexpr absl::string_view kGive =
    "give a directory that DeepSpeed saved to (with a file `latest`) or one of "
    "its tag directories (with mp_rank_00_model_states.pt)";

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool IsDirectory(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool Has(const Names& names, absl::string_view name) {
  return std::binary_search(names.begin(), names.end(), name);
}

// The names that `matches`.
template <typename Predicate>
Names Select(const Names& names, Predicate matches) {
  Names found;
  std::copy_if(names.begin(), names.end(), std::back_inserter(found), matches);
  return found;
}

Names WithSuffix(const Names& names, absl::string_view suffix) {
  return Select(names, [suffix](const std::string& name) {
    return absl::EndsWith(name, suffix);
  });
}

// "a, b, c, d, ... (12 in all)"
std::string List(const Names& names) {
  Names shown;
  for (const std::string& name : names) {
    if (shown.size() == kMaxNamed) {
      return absl::StrCat(absl::StrJoin(shown, ", "), ", ... (", names.size(),
                          " in all)");
    }
    shown.push_back(absl::CHexEscape(name.substr(0, kMaxNameBytes)));
  }
  return absl::StrJoin(shown, ", ");
}

bool IsCheckpoint(const fs::path& path) {
  return Exists(path / "latest") || Exists(path / "mp_rank_00_model_states.pt");
}

// The directories below `path` that could be given in its place.
Names CheckpointsBelow(const std::string& path, const Names& names) {
  Names found;
  size_t looked = 0;
  for (const std::string& name : names) {
    const fs::path child = fs::path(path) / name;
    if (!IsDirectory(child)) continue;
    if (++looked > kMaxDirectories) break;
    if (IsCheckpoint(child)) found.push_back(name);
  }
  return found;
}

// Files iter_0001000/mp_rank_00/model_optim_rng.pt and the later forms.
bool IsMegatronCore(const std::string& path, const Names& names) {
  if (Has(names, "latest_checkpointed_iteration.txt") ||
      Has(names, "model_optim_rng.pt") || Has(names, "model_rng.pt")) {
    return true;
  }
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return (absl::StartsWith(name, "iter_") ||
            absl::StartsWith(name, "mp_rank_")) &&
           IsDirectory(fs::path(path) / name);
  });
}

bool IsUniversal(const std::string& path, const Names& names) {
  return Has(names, "latest_universal") || absl::EndsWith(path, "_universal") ||
         (Has(names, "zero") && IsDirectory(fs::path(path) / "zero"));
}

// What the directory holds, and what to give instead.
std::string Describe(const std::string& path, const Names& names) {
  if (names.empty()) return absl::StrCat("it is empty; ", kGive);
  if (const Names below = CheckpointsBelow(path, names); !below.empty()) {
    const std::string first = absl::StrCat(path, "/", below[0]);
    return below.size() == 1
               ? absl::StrCat("a directory in it is a checkpoint: give ", first)
               : absl::StrCat(below.size(),
                              " directories in it are checkpoints: give one of "
                              "them, such as ",
                              first, " (", List(below), ")");
  }
  if (IsUniversal(path, names)) {
    return "it is a universal checkpoint of DeepSpeed's ds_to_universal, which "
           "is not read: give the checkpoint that it was converted from";
  }
  if (const Names optimizer = WithSuffix(names, "_optim_states.pt");
      !optimizer.empty()) {
    return absl::StrCat("it has optimizer states only, ", List(optimizer),
                        "; copy the files *_model_states.pt of the same "
                        "checkpoint too");
  }
  if (IsMegatronCore(path, names)) {
    return absl::StrCat(
        "it is a checkpoint of Megatron-LM without DeepSpeed (", List(names),
        "), which is not read: save with --deepspeed, and ", kGive);
  }
  if (Names files = WithSuffix(names, ".distcp"); !files.empty()) {
    return absl::StrCat("it is a checkpoint of torch.distributed (",
                        List(files), "), which is not read; ", kGive);
  }
  for (const char* suffix : {".safetensors", ".gguf", ".bin"}) {
    const Names files = WithSuffix(names, suffix);
    if (files.empty()) continue;
    return absl::StrCat("it has weights in another form (", List(files),
                        "), such as Hugging Face's, which is not read; ",
                        kGive);
  }
  if (const Names files = Select(names,
                                 [](const std::string& name) {
                                   return absl::StrContains(
                                       name, "_model_states.pt.");
                                 });
      !files.empty()) {
    return absl::StrCat("it has ", List(files),
                        ": unpack them, or finish their download");
  }
  if (const Names experts = WithSuffix(names, "_model_states.pt");
      !experts.empty()) {
    return absl::StrCat("it has expert files only, ", List(experts),
                        "; copy the files mp_rank_*_model_states.pt of the "
                        "same checkpoint too");
  }
  return absl::StrCat("it holds ", List(names), "; ", kGive);
}

}  // namespace

std::string DescribeWrongDirectory(const std::string& path,
                                   const Names& names) {
  return absl::StrCat(
      path, ": no mp_rank_00_model_states.pt in it: ", Describe(path, names));
}

std::string DescribeNoDirectory(const std::string& path) {
  std::string message =
      absl::StrCat(path, ": is ", DescribePath(path), ", not a directory; ");
  const fs::path parent = fs::path(path).parent_path();
  if (IsCheckpoint(parent)) {
    return absl::StrCat(message, "give the directory that it is in, ",
                        parent.string());
  }
  return absl::StrCat(message, kGive);
}

}  // namespace moe
