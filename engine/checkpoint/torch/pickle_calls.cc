#include "engine/checkpoint/torch/pickle_calls.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

using Kind = PickleValue::Kind;

struct StorageClass {
  absl::string_view name;
  DType dtype;
};

constexpr StorageClass kStorageClasses[] = {
    {"FloatStorage", DType::kF32},     {"HalfStorage", DType::kF16},
    {"BFloat16Storage", DType::kBf16}, {"DoubleStorage", DType::kF64},
    {"LongStorage", DType::kI64},      {"IntStorage", DType::kI32},
    {"ShortStorage", DType::kI16},     {"CharStorage", DType::kI8},
    {"ByteStorage", DType::kU8},       {"BoolStorage", DType::kBool},
};

bool NonNegative(const PickleValue& value) {
  return value.is(Kind::kInt) && value.integer >= 0;
}

// A tuple (or list) of sizes.
absl::StatusOr<std::vector<int64_t>> Sizes(const PickleValue& value,
                                           size_t max_rank) {
  if (!value.is(Kind::kTuple) && !value.is(Kind::kList)) {
    return absl::DataLossError(absl::StrCat("a tensor's shape or stride is a ",
                                            value.ToString(), ", not a tuple"));
  }
  if (value.items.size() > max_rank) {
    return absl::DataLossError(
        absl::StrCat("a tensor has ", value.items.size(), " dimensions"));
  }
  std::vector<int64_t> sizes;
  for (const PickleValue* size : value.items) {
    if (!NonNegative(*size)) {
      return absl::DataLossError(
          absl::StrCat("a tensor's dimension or stride is ", size->ToString()));
    }
    sizes.push_back(size->integer);
  }
  return sizes;
}

// torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...).
absl::StatusOr<PickleValue> DescribeTensor(const PickleValue& arguments,
                                           size_t max_rank) {
  if (arguments.items.size() < 4 || !arguments.items[0]->is(Kind::kStorage) ||
      !NonNegative(*arguments.items[1])) {
    return absl::DataLossError(
        "a tensor needs a storage, an offset, a shape and a stride");
  }
  PickleValue tensor;
  tensor.kind = Kind::kTensor;
  tensor.dtype = arguments.items[0]->dtype;
  tensor.integer = arguments.items[1]->integer;
  ASSIGN_OR_RETURN(tensor.dims, Sizes(*arguments.items[2], max_rank));
  ASSIGN_OR_RETURN(tensor.strides, Sizes(*arguments.items[3], max_rank));
  if (tensor.dims.size() != tensor.strides.size()) {
    return absl::DataLossError(absl::StrCat("a tensor has ", tensor.dims.size(),
                                            " dimensions and ",
                                            tensor.strides.size(), " strides"));
  }
  tensor.items = {arguments.items[0]};
  return tensor;
}

PickleValue Collection(Kind kind, const PickleValue& arguments) {
  PickleValue value;
  value.kind = kind;
  if (arguments.items.empty()) return value;
  const PickleValue& source = *arguments.items[0];
  if (source.is(Kind::kList) || source.is(Kind::kTuple) ||
      source.is(Kind::kSet)) {
    value.items = source.items;
  }
  return value;
}

// OrderedDict(list of pairs), as Python 2 wrote it.
PickleValue Dict(const PickleValue& arguments) {
  PickleValue dict = Collection(Kind::kDict, arguments);
  const std::vector<const PickleValue*> pairs = std::move(dict.items);
  dict.items.clear();
  for (const PickleValue* pair : pairs) {
    if (pair->items.size() != 2) continue;
    dict.items.insert(dict.items.end(), pair->items.begin(), pair->items.end());
  }
  return dict;
}

bool IsBuiltin(const PickleValue& callable, absl::string_view name) {
  return callable.IsGlobal("__builtin__", name) ||
         callable.IsGlobal("builtins", name);
}

}  // namespace

bool StorageClassDType(const PickleValue& storage_class, DType* dtype) {
  if (!storage_class.is(Kind::kGlobal)) return false;
  if (storage_class.text != "torch" && storage_class.text != "torch.storage" &&
      storage_class.text != "torch.cuda") {
    return false;
  }
  for (const StorageClass& known : kStorageClasses) {
    if (known.name == storage_class.name) {
      *dtype = known.dtype;
      return true;
    }
  }
  return false;
}

absl::StatusOr<PickleValue> DescribeStorage(const PickleValue& id) {
  if (!id.is(Kind::kTuple) || id.items.size() < 5 ||
      !id.items[0]->is(Kind::kString) || id.items[0]->text != "storage" ||
      !id.items[2]->is(Kind::kString) || !NonNegative(*id.items[4])) {
    return absl::DataLossError(
        "a persistent id is not ('storage', class, key, location, count)");
  }
  PickleValue storage;
  storage.kind = Kind::kStorage;
  if (!StorageClassDType(*id.items[1], &storage.dtype)) {
    return absl::DataLossError(
        absl::StrCat("unknown storage class ", id.items[1]->ToString()));
  }
  storage.text = id.items[2]->text;
  storage.integer = id.items[4]->integer;
  if (id.items.size() > 5 && id.items[5]->is(Kind::kTuple)) {
    // A view: (key of the view, begin in the root storage, elements).
    const PickleValue& view = *id.items[5];
    if (view.items.size() != 3 || !NonNegative(*view.items[1]) ||
        !NonNegative(*view.items[2]) ||
        view.items[1]->integer > storage.integer ||
        view.items[2]->integer > storage.integer - view.items[1]->integer) {
      return absl::DataLossError("a storage view leaves its storage");
    }
    storage.storage_begin = view.items[1]->integer;
    storage.integer = view.items[2]->integer;
  }
  return storage;
}

absl::StatusOr<PickleValue> DescribeCall(const PickleValue& callable,
                                         const PickleValue& arguments,
                                         size_t max_rank) {
  if (!arguments.is(Kind::kTuple)) {
    return absl::DataLossError(
        absl::StrCat("the arguments of a call are a ", arguments.ToString()));
  }
  if (callable.IsGlobal("torch._utils", "_rebuild_tensor_v2") ||
      callable.IsGlobal("torch._utils", "_rebuild_tensor")) {
    return DescribeTensor(arguments, max_rank);
  }
  if (callable.IsGlobal("torch._utils", "_rebuild_parameter") ||
      callable.IsGlobal("torch._utils", "_rebuild_parameter_with_state")) {
    if (arguments.items.empty() || !arguments.items[0]->is(Kind::kTensor)) {
      return absl::DataLossError("a parameter has no tensor");
    }
    return *arguments.items[0];
  }
  if (callable.IsGlobal("collections", "OrderedDict") ||
      IsBuiltin(callable, "dict")) {
    return Dict(arguments);
  }
  if (callable.IsGlobal("collections", "defaultdict")) {
    PickleValue dict;
    dict.kind = Kind::kDict;
    return dict;
  }
  if (callable.IsGlobal("torch", "Size")) {
    return Collection(Kind::kTuple, arguments);
  }
  if (IsBuiltin(callable, "set") || IsBuiltin(callable, "frozenset")) {
    return Collection(Kind::kSet, arguments);
  }
  PickleValue object;
  object.kind = Kind::kObject;
  object.items = {&callable, &arguments, nullptr};
  return object;
}

}  // namespace moe
