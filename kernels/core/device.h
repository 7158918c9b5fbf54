#pragma once

#include <cstdint>
#include <string>

namespace moe {

enum class DeviceType : uint8_t { kCpu, kCuda };

// Where memory lies and where work runs.
struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;

  friend bool operator==(const Device&, const Device&) = default;
};

// "cpu:0", "cuda:3".
std::string ToString(Device device);

}  // namespace moe
