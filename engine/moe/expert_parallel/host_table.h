#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Brings a table of i32 from the device to the host, or to the device. Where
// the device's memory is the host's nothing is fetched. Keeps its memory for
// the next time. Not thread-safe.
class HostTable {
 public:
  // `table` [n], contiguous, on the stream's device; waits for it. Valid until
  // the next call here, and on the host as long as the table.
  absl::StatusOr<absl::Span<const int32_t>> Fetch(const TensorView& table,
                                                  Stream& stream);

  // A copy of `values` on the stream's device, [n], valid until the next call.
  absl::StatusOr<TensorView> Upload(absl::Span<const int32_t> values,
                                    Stream& stream);

  // Elements of its pinned memory now.
  int64_t capacity() const;

 private:
  // Makes room in pinned memory that no copy uses any more.
  absl::Status ReservePinned(int64_t elements, Stream& stream);

  Tensor pinned_;  // i32
  Tensor device_;  // what Upload filled
  std::unique_ptr<Event> uploaded_;
};

}  // namespace moe
