#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/torch/pickle_value.h"

namespace moe {

// The element type that a storage class such as torch.HalfStorage stands for,
// or false.
bool StorageClassDType(const PickleValue& storage_class, DType* dtype);

// Describes the storage that a persistent id names: ('storage', class, key,
// location, number of elements [, None or (view key, begin, size)]).
absl::StatusOr<PickleValue> DescribeStorage(const PickleValue& persistent_id);

// Describes what calling `callable(*arguments)` - or creating an object of that
// class - would give: tensors, dicts, sets, tuples and namespaces where it is
// known, else an inert kObject. Nothing is called. The message of an error says
// what is wrong with the arguments.
absl::StatusOr<PickleValue> DescribeCall(const PickleValue& callable,
                                         const PickleValue& arguments,
                                         size_t max_rank);

}  // namespace moe
