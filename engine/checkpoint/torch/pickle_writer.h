#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/core/dtype.h"

namespace moe {

// Builds a pickle of protocol 2 with what a torch.save file of weights needs.
// Calls nest as the values do: BeginDict, then for each entry a Key and one
// value, then EndDict. Not thread-safe.
class PickleWriter {
 public:
  PickleWriter();

  void BeginDict();
  void EndDict();
  // An argparse.Namespace; its fields are written as a dict's entries.
  void BeginNamespace();
  void EndNamespace();
  void Key(absl::string_view key) { String(key); }

  void None();
  void Bool(bool value);
  void Int(int64_t value);
  void Float(double value);
  void String(absl::string_view value);
  void IntList(absl::Span<const int64_t> values);
  // A constant of a module, such as torch.float16.
  void Global(absl::string_view module, absl::string_view name);
  // A contiguous tensor that is all of the storage `key` (f32, f16 or bf16).
  void Tensor(absl::string_view key, DType dtype,
              absl::Span<const int64_t> dims);

  // The finished pickle. Call once.
  std::string Finish();

 private:
  void Op(uint8_t opcode) { bytes_.push_back(static_cast<char>(opcode)); }
  void LittleEndian(uint64_t value, int num_bytes);
  void IntTuple(absl::Span<const int64_t> values);

  std::string bytes_;
};

}  // namespace moe
