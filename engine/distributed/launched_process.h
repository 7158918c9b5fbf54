#pragma once

#include <string>

namespace moe {

// The machine's host name.
std::string HostName();

// True if a launcher (mpirun, or another that uses PMI) has started this
// process as one of several.
bool LaunchedByMpi();

}  // namespace moe
