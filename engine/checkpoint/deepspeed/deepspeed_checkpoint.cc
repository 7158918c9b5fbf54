#include "engine/checkpoint/deepspeed/deepspeed_checkpoint.h"

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// A storage's number in the checkpoint: the upper bits are its file's number,
// the lower ones its number in the file.
constexpr int kStorageBits = 32;

}  // namespace

absl::StatusOr<HostWeight> DeepSpeedCheckpoint::Get(
    absl::string_view name) const {
  return Read(name, WeightSlice());
}

absl::StatusOr<HostWeight> DeepSpeedCheckpoint::GetShard(
    absl::string_view name, const WeightSlice& slice) const {
  return Read(name, slice);
}

absl::StatusOr<HostWeight> DeepSpeedCheckpoint::Read(
    absl::string_view name, const WeightSlice& slice) const {
  const auto found = contents_.weights.find(name);
  if (found == contents_.weights.end()) {
    return absl::NotFoundError(absl::StrCat("no weight ", name, " in the ",
                                            contents_.config.family,
                                            " model: ", contents_.description));
  }
  bool sum = false;
  if (!slice.whole()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    sum = summed_.insert(found->first).second;
  }
  return ReadWeight(found->second, contents_.fused, found->first, slice, sum);
}

int64_t DeepSpeedCheckpoint::bytes_read() const {
  int64_t bytes = 0;
  for (const auto& file : contents_.files) bytes += file->bytes_read();
  return bytes;
}

std::vector<PartialChecksum> DeepSpeedCheckpoint::TakePartialChecksums() const {
  std::vector<PartialChecksum> all;
  for (size_t f = 0; f < contents_.files.size(); ++f) {
    for (PartialChecksum part : contents_.files[f]->TakePartialChecksums()) {
      part.storage += static_cast<int64_t>(f) << kStorageBits;
      all.push_back(part);
    }
  }
  return all;
}

absl::Status DeepSpeedCheckpoint::CheckPartialChecksums(
    absl::Span<const PartialChecksum> merged, int rank, int num_ranks) const {
  for (PartialChecksum part : merged) {
    const int64_t f = part.storage >> kStorageBits;
    if (f < 0 || f >= static_cast<int64_t>(contents_.files.size())) {
      return absl::InvalidArgumentError(absl::StrCat(
          contents_.description, ": a checksum of file ", f, ", of ",
          contents_.files.size(), " files: the ranks see different files"));
    }
    const bool read_all = part.storage % num_ranks == rank;
    part.storage -= f << kStorageBits;
    RETURN_IF_ERROR(contents_.files[f]->CheckPartialChecksum(part, read_all));
  }
  return absl::OkStatus();
}

bool DeepSpeedCheckpoint::Has(absl::string_view name) const {
  return contents_.weights.contains(name);
}

std::string DeepSpeedCheckpoint::FilesOf(absl::string_view name) const {
  const auto found = contents_.weights.find(name);
  if (found == contents_.weights.end()) return "";
  std::vector<std::string> paths;
  for (const WeightPart& part : found->second.parts) {
    const std::string& path = part.file->path();
    if (absl::c_linear_search(paths, path)) continue;
    paths.push_back(path);
  }
  if (paths.size() <= 2) return absl::StrJoin(paths, " or ");
  return absl::StrCat("one of ", paths.size(), " files from ", paths.front(),
                      " to ", paths.back());
}

}  // namespace moe
