#include "kernels/core/device_backend.h"

namespace moe {

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(kind_, other.kind_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) backend_->Free(data_, bytes_, kind_);
}

}  // namespace moe
