#pragma once

#include <string>
#include <vector>

namespace moe::client {

// Each takes the words after the command's name and returns the exit status.

// client info: version, state, memory, layout of the server.
int RunInfo(const std::vector<std::string>& arguments);
// client load: running and waiting requests, cache, counters.
int RunLoad(const std::vector<std::string>& arguments);
// client ranks: the processes (ranks) of the server.
int RunRanks(const std::vector<std::string>& arguments);
// client experts: tokens of each expert and rank, layer by layer.
int RunExperts(const std::vector<std::string>& arguments);
// client abort REQUEST_ID...
int RunAbort(const std::vector<std::string>& arguments);
// client drain: refuses new requests; with --wait, waits for the last to
// finish.
int RunDrain(const std::vector<std::string>& arguments);
// client resume: accepts requests again after drain.
int RunResume(const std::vector<std::string>& arguments);
// client health [SERVICE]: exit status 0 if it is SERVING; with --wait, retries
// until then.
int RunHealth(const std::vector<std::string>& arguments);

}  // namespace moe::client
