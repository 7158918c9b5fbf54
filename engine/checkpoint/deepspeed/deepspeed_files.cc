#include "engine/checkpoint/deepspeed/deepspeed_files.h"

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/checkpoint/deepspeed/megatron_keys.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kMaxNamedKeys = 5;  // in one warning

// Ignored keys: their number, and the names of some.
class IgnoredKeys {
 public:
  void Add(const std::string& key) {
    if (named_.size() < kMaxNamedKeys) {
      named_.push_back(absl::CHexEscape(key.substr(0, 200)));
    }
    ++count_;
  }

  void Warn(const std::string& path, absl::string_view what,
            std::vector<std::string>* warnings) const {
    if (count_ == 0) return;
    warnings->push_back(absl::StrCat(path, ": ", count_, " tensors ignored, ",
                                     what, ": ", absl::StrJoin(named_, ", "),
                                     count_ > named_.size() ? ", ..." : ""));
  }

 private:
  size_t count_ = 0;
  std::vector<std::string> named_;
};

// What the object of another writer is, by its keys.
std::string DescribeObject(const PickleValue& root) {
  if (root.Find("optimizer_state_dict") != nullptr) {
    return "optimizer states only (of a file *_optim_states.pt): give "
           "mp_rank_*_model_states.pt of the same checkpoint";
  }
  if (root.Find("model") != nullptr && (root.Find("iteration") != nullptr ||
                                        root.Find("optimizer") != nullptr)) {
    return "the file of Megatron-LM without DeepSpeed (model_optim_rng.pt), "
           "which is not read: train or save with --deepspeed";
  }
  for (size_t i = 1; i < root.items.size(); i += 2) {
    if (!root.items[i]->is(PickleValue::Kind::kTensor)) continue;
    return "a plain state dict: its tensors are not below `module`, and the "
           "`args` that describe the model are missing";
  }
  return absl::StrCat("a ", root.ToString());
}

// True if the model's output depends on such a tensor, such as a norm after the
// embedding. (It does not depend on heads of other tasks.)
bool IsUnknownDecoderWeight(absl::string_view key) {
  return (absl::StrContains(key, "embedding.") ||
          absl::StrContains(key, "encoder.") ||
          absl::StrContains(key, "transformer.")) &&
         (absl::EndsWith(key, ".weight") || absl::EndsWith(key, ".bias"));
}

absl::Status AddDense(TorchFile& file, int64_t rank,
                      DeepSpeedTensors& tensors) {
  const PickleValue* module = file.root().Find("module");
  if (module == nullptr) {
    return absl::DataLossError(absl::StrCat(
        file.path(), ": no `module` in it: not DeepSpeed's model states but ",
        DescribeObject(file.root())));
  }
  RETURN_IF_ERROR(file.ListTensors(*module));
  IgnoredKeys strays, unknown;
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const std::string& name = file.tensors()[i].name;
    MegatronKey key;
    if (absl::StrContains(name, "deepspeed_experts.")) {
      // Some releases leave a rank's own experts here, under local numbers.
      strays.Add(name);
      continue;
    }
    if (!ParseMegatronKey(name, &key)) {
      if (IsUnknownDecoderWeight(name)) {
        return absl::InvalidArgumentError(
            absl::StrCat(file.path(), ": the weight ", absl::CHexEscape(name),
                         " is not supported"));
      }
      unknown.Add(name);
      continue;
    }
    tensors.has_local_moe |= key.is_local_moe;
    if (!tensors.dense[rank]
             .emplace(key.name, WeightPart{&file, i, key.split, rank})
             .second) {
      return absl::DataLossError(
          absl::StrCat(file.path(), ": two tensors are ", key.name));
    }
  }
  strays.Warn(file.path(), "as experts have files of their own",
              &tensors.warnings);
  unknown.Warn(file.path(), "not part of the decoder", &tensors.warnings);
  return absl::OkStatus();
}

absl::Status AddExperts(TorchFile& file,
                        const DeepSpeedDirectory::ExpertFile& info,
                        DeepSpeedTensors& tensors) {
  RETURN_IF_ERROR(file.ListTensors(file.root()));
  IgnoredKeys unknown;
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const std::string& name = file.tensors()[i].name;
    MegatronKey key;
    if (!ParseMegatronKey(name, &key) || key.expert < 0) {
      unknown.Add(name);
      continue;
    }
    if (key.expert != info.expert) {
      return absl::DataLossError(absl::StrCat(file.path(), ": holds ", key.name,
                                              ", but its name says expert ",
                                              info.expert));
    }
    tensors.has_local_moe |= key.is_local_moe;
    tensors.expert_ids.emplace(key.layer, key.expert);
    const WeightPart part = {&file, i, key.split, info.mp_rank};
    const auto [other, added] =
        tensors.experts[key.name].emplace(info.mp_rank, part);
    if (!added) {
      return absl::DataLossError(absl::StrCat(file.path(), ": ", key.name,
                                              " is also in ",
                                              other->second.file->path()));
    }
  }
  unknown.Warn(file.path(), "not an expert's weight", &tensors.warnings);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DeepSpeedTensors> OpenDeepSpeedFiles(
    const DeepSpeedDirectory& directory) {
  DeepSpeedTensors tensors;
  tensors.dense.resize(directory.mp_rank_paths.size());
  for (size_t rank = 0; rank < directory.mp_rank_paths.size(); ++rank) {
    ASSIGN_OR_RETURN(std::unique_ptr<TorchFile> file,
                     TorchFile::Open(directory.mp_rank_paths[rank]));
    tensors.files.push_back(std::move(file));
    RETURN_IF_ERROR(
        AddDense(*tensors.files.back(), static_cast<int64_t>(rank), tensors));
  }
  for (const DeepSpeedDirectory::ExpertFile& info : directory.expert_files) {
    if (info.mp_rank >= static_cast<int64_t>(tensors.dense.size())) {
      return absl::DataLossError(absl::StrCat(
          info.path, ": of tensor rank ", info.mp_rank, ", but there are ",
          tensors.dense.size(), " mp_rank files"));
    }
    ASSIGN_OR_RETURN(std::unique_ptr<TorchFile> file,
                     TorchFile::Open(info.path));
    tensors.files.push_back(std::move(file));
    RETURN_IF_ERROR(AddExperts(*tensors.files.back(), info, tensors));
  }
  return tensors;
}

}  // namespace moe
