#include "engine/models/load_model.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/host_communicator.h"
#include "engine/config/model_config_check.h"
#include "engine/models/decoder_loader.h"
#include "engine/parallel/process_groups.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// The model families that can be served. A family is a name for a range of
// configurations; `fits` says which.
struct Family {
  const char* name;
  const char* what;
  bool (*fits)(const ModelConfig&);
  absl::StatusOr<std::unique_ptr<Model>> (*load)(
      const Checkpoint&, const ModelOptions&, Stream&,
      absl::FunctionRef<void(int64_t, int64_t)>);
};

constexpr Family kFamilies[] = {
    {"gpt", "no layer with experts",
     [](const ModelConfig& c) { return !c.has_experts(); }, LoadDecoder},
    {"gpt_moe", "experts without a residual MLP",
     [](const ModelConfig& c) {
       return c.has_experts() && c.residual_moe() == ResidualMoeKind::kNone;
     },
     LoadDecoder},
    // Mixture-of-Students models too: a student is a PR-MoE of fewer layers.
    {"pr_moe", "experts with a residual MLP",
     [](const ModelConfig& c) {
       return c.has_experts() && c.residual_moe() != ResidualMoeKind::kNone;
     },
     LoadDecoder},
};

absl::StatusOr<const Family*> FindFamily(const ModelConfig& config) {
  std::vector<std::string> names;
  for (const Family& family : kFamilies) {
    names.push_back(family.name);
    if (config.family != family.name) continue;
    if (!family.fits(config)) {
      return absl::InvalidArgumentError(
          absl::StrCat("model family \"", family.name, "\" means ", family.what,
                       ", which the model's configuration is not"));
    }
    return &family;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("model family is \"", config.family, "\", must be one of ",
                   absl::StrJoin(names, ", ")));
}

absl::StatusOr<std::unique_ptr<Model>> LoadThisRank(
    const Checkpoint& checkpoint, const ModelOptions& options, Stream& stream,
    absl::FunctionRef<void(int64_t, int64_t)> progress) {
  RETURN_IF_ERROR(ValidateModelConfig(checkpoint.config()));
  if (options.weight_dtype != DType::kF32 &&
      options.weight_dtype != DType::kF16 &&
      options.weight_dtype != DType::kBf16) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_dtype is ", DTypeName(options.weight_dtype),
                     ", must be f32, f16 or bf16"));
  }
  if (options.max_rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_rows is ", options.max_rows, ", must be at least 1"));
  }
  ASSIGN_OR_RETURN(const Family* family, FindFamily(checkpoint.config()));
  return family->load(checkpoint, options, stream, progress);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadModel(
    const Checkpoint& checkpoint, const ModelOptions& options, Stream& stream,
    absl::FunctionRef<void(int64_t, int64_t)> progress) {
  absl::StatusOr<std::unique_ptr<Model>> model =
      LoadThisRank(checkpoint, options, stream, progress);
  if (!model.ok() && options.parallel != nullptr) {
    options.parallel->groups->Abort(model.status());
    if (options.parallel->loading != nullptr) {
      options.parallel->loading->Abort(model.status());
    }
  }
  return model;
}

}  // namespace moe
