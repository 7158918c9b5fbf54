#include "engine/checkpoint/torch/pickle_writer.h"

#include <cstring>
#include <limits>
#include <utility>

namespace moe {

PickleWriter::PickleWriter() {
  Op(0x80);  // PROTO
  Op(2);
}

void PickleWriter::LittleEndian(uint64_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) {
    Op(static_cast<uint8_t>(value >> (8 * i)));
  }
}

void PickleWriter::BeginDict() {
  Op('}');  // EMPTY_DICT
  Op('(');  // MARK
}

void PickleWriter::EndDict() { Op('u'); }  // SETITEMS

void PickleWriter::BeginNamespace() {
  Global("argparse", "Namespace");
  Op(')');   // EMPTY_TUPLE
  Op(0x81);  // NEWOBJ
  BeginDict();
}

void PickleWriter::EndNamespace() {
  EndDict();
  Op('b');  // BUILD
}

void PickleWriter::None() { Op('N'); }

void PickleWriter::Bool(bool value) { Op(value ? 0x88 : 0x89); }

void PickleWriter::Int(int64_t value) {
  if (value >= std::numeric_limits<int32_t>::min() &&
      value <= std::numeric_limits<int32_t>::max()) {
    Op('J');  // BININT
    LittleEndian(static_cast<uint64_t>(value), 4);
    return;
  }
  Op(0x8a);  // LONG1
  Op(8);
  LittleEndian(static_cast<uint64_t>(value), 8);
}

void PickleWriter::Float(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  Op('G');  // BINFLOAT, big endian
  for (int i = 7; i >= 0; --i) Op(static_cast<uint8_t>(bits >> (8 * i)));
}

void PickleWriter::String(absl::string_view value) {
  Op('X');  // BINUNICODE
  LittleEndian(value.size(), 4);
  bytes_.append(value.data(), value.size());
}

void PickleWriter::IntList(absl::Span<const int64_t> values) {
  Op(']');  // EMPTY_LIST
  Op('(');
  for (int64_t value : values) Int(value);
  Op('e');  // APPENDS
}

void PickleWriter::IntTuple(absl::Span<const int64_t> values) {
  Op('(');
  for (int64_t value : values) Int(value);
  Op('t');  // TUPLE
}

void PickleWriter::Global(absl::string_view module, absl::string_view name) {
  Op('c');
  bytes_.append(module.data(), module.size());
  Op('\n');
  bytes_.append(name.data(), name.size());
  Op('\n');
}

void PickleWriter::Tensor(absl::string_view key, DType dtype,
                          absl::Span<const int64_t> dims) {
  int64_t count = 1;
  std::vector<int64_t> strides(dims.size());
  for (size_t i = dims.size(); i > 0; --i) {
    strides[i - 1] = count;
    count *= dims[i - 1];
  }
  Global("torch._utils", "_rebuild_tensor_v2");
  Op('(');
  Op('(');
  String("storage");
  Global("torch", dtype == DType::kF16    ? "HalfStorage"
                  : dtype == DType::kBf16 ? "BFloat16Storage"
                                          : "FloatStorage");
  String(key);
  String("cpu");
  Int(count);
  Op('t');
  Op('Q');  // BINPERSID
  Int(0);   // offset
  IntTuple(dims);
  IntTuple(strides);
  Bool(false);  // requires_grad
  Global("collections", "OrderedDict");
  Op(')');
  Op('R');  // REDUCE
  Op('t');
  Op('R');
}

std::string PickleWriter::Finish() {
  Op('.');  // STOP
  return std::move(bytes_);
}

}  // namespace moe
