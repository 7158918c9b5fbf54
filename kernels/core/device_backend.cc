#include "kernels/core/device_backend.h"

namespace moe {

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  // What was here goes back now, as part of `old`, not with `other`.
  const DeviceMemory old(backend_, std::exchange(data_, nullptr), bytes_,
                         kind_);
  backend_ = other.backend_;
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  kind_ = other.kind_;
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) backend_->Free(data_, bytes_, kind_);
}

}  // namespace moe
