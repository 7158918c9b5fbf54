#include "engine/checkpoint/torch/state_dict.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Dicts may share values and contain themselves, so the limit is on steps, not
// on the file's size.
constexpr int kMaxDepth = 16;
constexpr size_t kMaxEntries = 1 << 18;
constexpr size_t kMaxKeyBytes = size_t{64} << 20;  // of all keys

class Flattener {
 public:
  explicit Flattener(const std::string& source) : source_(source) {}

  absl::Status Walk(const PickleValue& dict, const std::string& prefix,
                    int depth) {
    if (depth > kMaxDepth) return TooLarge("nests too deep");
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      if (++entries_ > kMaxEntries) return TooLarge("has too many entries");
      const PickleValue& key = *dict.items[i];
      const PickleValue& value = *dict.items[i + 1];
      if (!key.is(PickleValue::Kind::kString)) continue;
      key_bytes_ += prefix.size() + key.text.size();
      if (key_bytes_ > kMaxKeyBytes) return TooLarge("has too long keys");
      std::string path = absl::StrCat(prefix, key.text);
      if (value.is(PickleValue::Kind::kTensor)) {
        tensors.push_back({std::move(path), &value});
      } else if (value.is(PickleValue::Kind::kDict)) {
        RETURN_IF_ERROR(Walk(value, absl::StrCat(path, "."), depth + 1));
      }
    }
    return absl::OkStatus();
  }

  std::vector<NamedTensor> tensors;

 private:
  absl::Status TooLarge(absl::string_view what) const {
    return absl::DataLossError(
        absl::StrCat(source_, ": the state of the module ", what));
  }

  const std::string& source_;
  size_t entries_ = 0;
  size_t key_bytes_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<NamedTensor>> FlattenStateDict(
    const PickleValue& state, const std::string& source) {
  if (!state.is(PickleValue::Kind::kDict)) {
    return absl::DataLossError(absl::StrCat(
        source, ": the state of the module is a ", state.ToString()));
  }
  Flattener flattener(source);
  RETURN_IF_ERROR(flattener.Walk(state, "", 0));
  return std::move(flattener.tensors);
}

}  // namespace moe
