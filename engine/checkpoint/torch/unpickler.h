#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/torch/pickle_value.h"

namespace moe {

// Limits for one pickle. Time and memory are proportional to its size and
// bounded by these limits, whatever its bytes are. The largest real metadata
// (thousands of tensors) is several times smaller.
struct UnpicklerLimits {
  size_t max_bytes = size_t{256} << 20;
  size_t max_values = size_t{1} << 20;  // values made, stacked or memorised
  size_t max_items = size_t{8} << 20;   // put into lists, dicts, tuples, sets
  size_t max_rank = 32;                 // of a tensor
};

struct Unpickled {
  const PickleValue* value = nullptr;  // lives in the arena
  size_t num_bytes = 0;                // consumed, up to and with STOP
};

// Reads one pickle (protocols 2 to 5 as far as PyTorch's files use them) from
// the start of `bytes` into `arena`. Executes nothing: it describes tensors,
// storages, dicts, sets and namespaces; every other global, call and object
// becomes an inert description of itself. Values point into `bytes`, which must
// outlive the arena. kDataLoss, naming `source` and the byte offset, for
// anything except a well-formed pickle; kResourceExhausted above the limits.
absl::StatusOr<Unpickled> Unpickle(absl::string_view bytes,
                                   const std::string& source,
                                   PickleArena& arena,
                                   const UnpicklerLimits& limits = {});

}  // namespace moe
