#include "engine/checkpoint/deepspeed/deepspeed_directory.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/checkpoint/deepspeed/wrong_directory.h"
#include "engine/checkpoint/mapped_file.h"
#include "kernels/core/file_kind.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kSuffix = "_model_states.pt";
constexpr size_t kMaxTagBytes = 255;         // longest name of a directory
constexpr size_t kMaxQuotedBytes = 80;       // of a tag
constexpr int64_t kMaxFileNumber = 1 << 20;  // of ranks, layers, experts

// Removes "<prefix><digits>" from the start of `text`.
bool ConsumeNumber(absl::string_view prefix, absl::string_view* text,
                   int64_t* number) {
  if (!absl::ConsumePrefix(text, prefix)) return false;
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit((*text)[digits])) {
    ++digits;
  }
  if (digits == 0 || !absl::SimpleAtoi(text->substr(0, digits), number) ||
      *number >= kMaxFileNumber) {
    return false;
  }
  text->remove_prefix(digits);
  return true;
}

// "mp_rank_01_model_states.pt"
bool ParseMpRankName(absl::string_view name, int64_t* mp_rank) {
  return ConsumeNumber("mp_rank_", &name, mp_rank) && name == kSuffix;
}

// "layer_3_expert_14_mp_rank_00_model_states.pt", or without the layer.
bool ParseExpertName(absl::string_view name,
                     DeepSpeedDirectory::ExpertFile* file) {
  int64_t moe_layer;  // an ordinal; the keys in the file have the layer
  file->all_layers = !ConsumeNumber("layer_", &name, &moe_layer);
  return ConsumeNumber(file->all_layers ? "expert_" : "_expert_", &name,
                       &file->expert) &&
         ConsumeNumber("_mp_rank_", &name, &file->mp_rank) && name == kSuffix;
}

absl::StatusOr<std::vector<std::string>> ListNames(const std::string& path) {
  std::error_code error;
  fs::directory_iterator entries(path, error);
  std::vector<std::string> names;
  while (!error && entries != fs::directory_iterator()) {
    names.push_back(entries->path().filename().string());
    entries.increment(error);
  }
  if (error) {
    const std::string message =
        absl::StrCat(path, ": cannot list: ", error.message());
    if (error == std::errc::not_a_directory) {
      return absl::NotFoundError(DescribeNoDirectory(path));
    }
    if (error == std::errc::no_such_file_or_directory ||
        error == std::errc::too_many_symbolic_link_levels) {
      return absl::NotFoundError(
          fs::is_symlink(path, error) ? DescribeNoDirectory(path) : message);
    }
    if (error == std::errc::permission_denied) {
      return absl::PermissionDeniedError(
          absl::StrCat(message, PermissionHint()));
    }
    return absl::DataLossError(message);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The tag that the file `latest` names.
absl::StatusOr<std::string> ReadLatest(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const absl::string_view tag =
      absl::StripAsciiWhitespace(file.bytes().substr(0, kMaxTagBytes + 1));
  bool plain =
      !tag.empty() && tag.size() <= kMaxTagBytes && tag != "." && tag != "..";
  for (char c : tag) plain = plain && c != '/' && !absl::ascii_iscntrl(c);
  if (!plain) {
    return absl::DataLossError(absl::StrCat(
        path, ": '", absl::CHexEscape(tag.substr(0, kMaxQuotedBytes)),
        "' is not the name of a directory beside it; the file is ",
        DescribeBytes(file.bytes())));
  }
  return std::string(tag);
}

absl::Status CollectFiles(const std::vector<std::string>& names,
                          DeepSpeedDirectory& directory) {
  std::map<int64_t, std::string> mp_ranks;
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(directory.path, "/", name);
    int64_t mp_rank;
    DeepSpeedDirectory::ExpertFile expert;
    if (ParseMpRankName(name, &mp_rank)) {
      if (!mp_ranks.emplace(mp_rank, path).second) {
        return absl::DataLossError(
            absl::StrCat(path, ": tensor rank ", mp_rank, " is there twice"));
      }
    } else if (ParseExpertName(name, &expert)) {
      expert.path = path;
      directory.expert_files.push_back(expert);
    } else if (absl::StartsWith(name, "zero_pp_rank_") &&
               absl::EndsWith(name, kSuffix)) {
      return absl::InvalidArgumentError(absl::StrCat(
          path,
          ": weights sharded by ZeRO stage 3 are not supported; save "
          "with stage 0, 1 or 2"));
    } else if (absl::StartsWith(name, "layer_") &&
               absl::EndsWith(name, "-model_states.pt")) {
      return absl::InvalidArgumentError(absl::StrCat(
          path,
          ": the layer files of a pipelined model are not supported; "
          "save with --no-pipeline-parallel"));
    }
  }
  for (const auto& [mp_rank, path] : mp_ranks) {
    if (mp_rank != static_cast<int64_t>(directory.mp_rank_paths.size())) {
      return absl::DataLossError(absl::StrCat(directory.path, ": has ", path,
                                              ", but no file of tensor rank ",
                                              directory.mp_rank_paths.size()));
    }
    directory.mp_rank_paths.push_back(path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DeepSpeedDirectory> FindDeepSpeedDirectory(
    const std::string& path) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListNames(path));
  DeepSpeedDirectory directory;
  directory.path = path;
  while (directory.path.size() > 1 && directory.path.back() == '/') {
    directory.path.pop_back();
  }
  if (std::binary_search(names.begin(), names.end(), "latest")) {
    const std::string latest = absl::StrCat(directory.path, "/latest");
    ASSIGN_OR_RETURN(directory.tag, ReadLatest(latest));
    absl::StrAppend(&directory.path, "/", directory.tag);
    absl::StatusOr<std::vector<std::string>> tagged = ListNames(directory.path);
    if (!tagged.ok()) {
      return absl::Status(tagged.status().code(),
                          absl::StrCat(latest, " names ", directory.tag, ": ",
                                       tagged.status().message()));
    }
    names = *std::move(tagged);
  } else {
    directory.tag = fs::path(directory.path).filename().string();
  }
  RETURN_IF_ERROR(CollectFiles(names, directory));
  if (directory.mp_rank_paths.empty()) {
    return absl::NotFoundError(DescribeWrongDirectory(directory.path, names));
  }
  std::error_code ignored;
  directory.is_universal =
      fs::is_directory(fs::path(directory.path) / "zero", ignored);
  return directory;
}

}  // namespace moe
