#pragma once

#include <string>

namespace moe {

// Of the machine, as it calls itself.
std::string HostName();

// Whether a launcher (mpirun, or another that speaks PMI) has started this
// process as one of several.
bool LaunchedByMpi();

}  // namespace moe
