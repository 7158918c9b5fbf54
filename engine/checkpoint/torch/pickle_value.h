#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "kernels/core/dtype.h"

namespace moe {

// A value that a pickle describes. Values may form any graph, including cycles,
// so a traversal must bound depth and steps. Strings are views into the
// pickle's bytes.
struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,     // integer
    kInt,      // integer
    kBigInt,   // beyond 64 bits: text holds its little-endian bytes
    kFloat,    // real
    kString,   // text
    kBytes,    // text
    kTuple,    // items
    kList,     // items
    kSet,      // items
    kDict,     // items: key, value, key, value, ...
    kGlobal,   // text = module, name = name within it
    kObject,   // items: [class or function, arguments, state or nullptr]
    kStorage,  // text = key; dtype, integer = elements
    kTensor,   // items[0] = storage; dtype, integer = offset, dims, strides
  };

  Kind kind = Kind::kNone;
  DType dtype = DType::kF32;  // kStorage and kTensor
  int64_t integer = 0;
  double real = 0;
  absl::string_view text;
  absl::string_view name;
  std::vector<const PickleValue*> items;
  std::vector<int64_t> dims;     // kTensor, in elements
  std::vector<int64_t> strides;  // kTensor, in elements
  // kStorage: where it begins in the storage of that key, in elements.
  int64_t storage_begin = 0;

  bool is(Kind k) const { return kind == k; }
  bool IsGlobal(absl::string_view module, absl::string_view its_name) const {
    return kind == Kind::kGlobal && text == module && name == its_name;
  }

  // The value of a string key of a dict (or of the dict that is an object's
  // state, such as an argparse.Namespace); the last one if it is there twice;
  // nullptr if there is none.
  const PickleValue* Find(absl::string_view key) const;
  // The dict itself, or an object's state if that is a dict; else nullptr.
  const PickleValue* AsDict() const;

  // The number, if this is one (a bool counts as an int).
  absl::optional<int64_t> AsInt() const;
  absl::optional<double> AsDouble() const;
  // Python's truth of None, bools and numbers.
  absl::optional<bool> AsBool() const;

  // A kInt of at most 8 little-endian bytes of two's complement, or a kBigInt
  // that borrows them.
  static PickleValue FromLong(absl::string_view bytes);
  // A kFloat; there must be 8 bytes.
  static PickleValue FromBigEndianDouble(absl::string_view bytes);

  // "dict of 3", "int 5", "torch.float16", for messages.
  std::string ToString() const;
};

// Owns the values of one pickle. Move-only.
struct PickleArena {
  // A deque, so that addresses are stable.
  std::deque<PickleValue> values;
};

}  // namespace moe
