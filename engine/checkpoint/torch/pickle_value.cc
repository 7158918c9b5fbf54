#include "engine/checkpoint/torch/pickle_value.h"

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace moe {

const PickleValue* PickleValue::AsDict() const {
  if (kind == Kind::kDict) return this;
  if (kind != Kind::kObject || items.size() < 3) return nullptr;
  const PickleValue* state = items[2];
  return state != nullptr && state->is(Kind::kDict) ? state : nullptr;
}

const PickleValue* PickleValue::Find(absl::string_view key) const {
  const PickleValue* dict = AsDict();
  if (dict == nullptr) return nullptr;
  for (size_t i = dict->items.size(); i >= 2; i -= 2) {
    const PickleValue* candidate = dict->items[i - 2];
    if (candidate->is(Kind::kString) && candidate->text == key) {
      return dict->items[i - 1];
    }
  }
  return nullptr;
}

absl::optional<int64_t> PickleValue::AsInt() const {
  if (kind != Kind::kInt && kind != Kind::kBool) return absl::nullopt;
  return integer;
}

absl::optional<double> PickleValue::AsDouble() const {
  if (kind == Kind::kFloat) return real;
  if (kind != Kind::kInt && kind != Kind::kBool) return absl::nullopt;
  return static_cast<double>(integer);
}

absl::optional<bool> PickleValue::AsBool() const {
  switch (kind) {
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return integer != 0;
    case Kind::kFloat:
      return real != 0;
    default:
      return absl::nullopt;
  }
}

PickleValue PickleValue::FromLong(absl::string_view bytes) {
  PickleValue value;
  if (bytes.size() > sizeof(int64_t)) {
    value.kind = Kind::kBigInt;
    value.text = bytes;
    return value;
  }
  const bool negative = !bytes.empty() && (bytes.back() & 0x80) != 0;
  uint64_t bits = negative ? ~uint64_t{0} : 0;
  for (size_t i = bytes.size(); i > 0; --i) {
    bits = (bits << 8) | static_cast<uint8_t>(bytes[i - 1]);
  }
  value.kind = Kind::kInt;
  value.integer = static_cast<int64_t>(bits);
  return value;
}

PickleValue PickleValue::FromBigEndianDouble(absl::string_view bytes) {
  uint64_t bits = 0;
  for (char byte : bytes) bits = (bits << 8) | static_cast<uint8_t>(byte);
  PickleValue value;
  value.kind = Kind::kFloat;
  std::memcpy(&value.real, &bits, sizeof(bits));
  return value;
}

std::string PickleValue::ToString() const {
  switch (kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return integer != 0 ? "True" : "False";
    case Kind::kInt:
      return absl::StrCat("int ", integer);
    case Kind::kBigInt:
      return absl::StrCat("int of ", text.size(), " bytes");
    case Kind::kFloat:
      return absl::StrCat("float ", real);
    case Kind::kString:
      return absl::StrCat("'", absl::CHexEscape(text.substr(0, 80)), "'");
    case Kind::kBytes:
      return absl::StrCat(text.size(), " bytes");
    case Kind::kTuple:
      return absl::StrCat("tuple of ", items.size());
    case Kind::kList:
      return absl::StrCat("list of ", items.size());
    case Kind::kSet:
      return absl::StrCat("set of ", items.size());
    case Kind::kDict:
      return absl::StrCat("dict of ", items.size() / 2);
    case Kind::kGlobal:
      return absl::StrCat(absl::CHexEscape(text.substr(0, 80)), ".",
                          absl::CHexEscape(name.substr(0, 80)));
    case Kind::kObject:
      return absl::StrCat("object of ",
                          items.empty() || !items[0]->is(Kind::kGlobal)
                              ? "an unknown class"
                              : items[0]->ToString());
    case Kind::kStorage:
      return absl::StrCat("storage of ", integer, " ", DTypeName(dtype));
    case Kind::kTensor:
      return absl::StrCat(DTypeName(dtype), " tensor of rank ", dims.size());
  }
  return "?";
}

}  // namespace moe
