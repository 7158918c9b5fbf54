#include "engine/moe/expert_parallel/host_table.h"

#include <algorithm>

#include "kernels/core/ensure_capacity.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::Status HostTable::ReservePinned(int64_t elements, Stream& stream) {
  if (uploaded_ != nullptr) RETURN_IF_ERROR(uploaded_->Wait());
  uploaded_.reset();
  elements = std::max<int64_t>(elements, 1);
  if (!pinned_.view().empty() && pinned_.dim(0) >= elements) {
    return absl::OkStatus();
  }
  pinned_ = Tensor();
  ASSIGN_OR_RETURN(pinned_,
                   Tensor::AllocatePinned(stream.backend(), DType::kI32,
                                          {elements + elements / 2}));
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<const int32_t>> HostTable::Fetch(
    const TensorView& table, Stream& stream) {
  const int64_t size = table.num_elements();
  if (stream.device() == Device{}) {
    RETURN_IF_ERROR(stream.Synchronize());
    return absl::MakeConstSpan(table.ptr<int32_t>(), size);
  }
  RETURN_IF_ERROR(ReservePinned(size, stream));
  RETURN_IF_ERROR(stream.Copy(table, pinned_.view().Rows(0, size)));
  ASSIGN_OR_RETURN(const std::unique_ptr<Event> fetched, stream.Record());
  RETURN_IF_ERROR(fetched->Wait());
  return absl::MakeConstSpan(pinned_.ptr<int32_t>(), size);
}

absl::StatusOr<TensorView> HostTable::Upload(absl::Span<const int32_t> values,
                                             Stream& stream) {
  const auto size = static_cast<int64_t>(values.size());
  RETURN_IF_ERROR(ReservePinned(size, stream));
  std::copy(values.begin(), values.end(), pinned_.ptr<int32_t>());
  const TensorView pinned = pinned_.view().Rows(0, size);
  if (stream.device() == Device{}) return pinned;
  RETURN_IF_ERROR(EnsureCapacity(size, stream, device_));
  const TensorView device =
      MakeView(device_.ptr<int32_t>(), DType::kI32, {size}, stream.device());
  RETURN_IF_ERROR(stream.Copy(pinned, device));
  ASSIGN_OR_RETURN(uploaded_, stream.Record());
  return device;
}

int64_t HostTable::capacity() const {
  return pinned_.view().empty() ? 0 : pinned_.dim(0);
}

}  // namespace moe
