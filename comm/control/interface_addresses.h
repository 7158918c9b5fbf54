#pragma once

#include <string>
#include <vector>

namespace moe {

// Numeric addresses of this host's interfaces that are up, loopback excepted.
std::vector<std::string> InterfaceAddresses();

}  // namespace moe
