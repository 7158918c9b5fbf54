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

// Describes the result of `callable(*arguments)`, or of creating an object of
// that class: tensors, dicts, sets, tuples and namespaces if the callable is
// known, else an inert kObject. Calls nothing. The error's message describes
// the bad arguments.
absl::StatusOr<PickleValue> DescribeCall(const PickleValue& callable,
                                         const PickleValue& arguments,
                                         size_t max_rank);

}  // namespace moe
