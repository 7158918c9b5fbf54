#include "kernels/core/device.h"

namespace moe {

std::string ToString(Device device) {
  const char* type = device.type == DeviceType::kCpu ? "cpu:" : "cuda:";
  return type + std::to_string(device.index);
}

}  // namespace moe
