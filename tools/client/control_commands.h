#pragma once

#include <string>
#include <vector>

namespace moe::client {

// Each takes what stands behind the command's name and returns the exit status.

// client info: what the server is and runs on.
int RunInfo(const std::vector<std::string>& arguments);
// client load: what it does now.
int RunLoad(const std::vector<std::string>& arguments);
// client ranks: the processes that the model is spread over.
int RunRanks(const std::vector<std::string>& arguments);
// client experts: where the tokens went, layer by layer.
int RunExperts(const std::vector<std::string>& arguments);
// client abort REQUEST_ID...
int RunAbort(const std::vector<std::string>& arguments);
// client drain: no new requests; with --wait until the last has finished.
int RunDrain(const std::vector<std::string>& arguments);
// client resume: takes requests again after drain.
int RunResume(const std::vector<std::string>& arguments);
// client health [SERVICE]: exit status 0 if it is SERVING; with --wait tries
// until it is.
int RunHealth(const std::vector<std::string>& arguments);

}  // namespace moe::client
