#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/torch/pickle_value.h"

namespace moe {

// The `args` that Megatron saves with a model: an argparse.Namespace of some
// 300 fields, fewer in old files. A field that is missing or None has the
// fallback; one of a wrong type is kDataLoss, naming file and field. Borrows
// the saved object.
class MegatronArguments {
 public:
  // `root` is the object of an mp_rank file. kInvalidArgument without `args`.
  static absl::StatusOr<MegatronArguments> Of(const PickleValue& root,
                                              const std::string& source);

  // True if the field exists and is not None.
  bool Has(absl::string_view field) const { return Find(field) != nullptr; }
  const PickleValue* Find(absl::string_view field) const;

  absl::StatusOr<int64_t> Int(absl::string_view field, int64_t fallback) const;
  absl::StatusOr<double> Double(absl::string_view field, double fallback) const;
  absl::StatusOr<bool> Bool(absl::string_view field, bool fallback) const;
  absl::StatusOr<std::string> String(absl::string_view field,
                                     absl::string_view fallback) const;

 private:
  MegatronArguments(const PickleValue* args, std::string source)
      : args_(args), source_(std::move(source)) {}
  absl::Status WrongType(absl::string_view field, const PickleValue& value,
                         absl::string_view type) const;

  const PickleValue* args_;
  std::string source_;
};

}  // namespace moe
