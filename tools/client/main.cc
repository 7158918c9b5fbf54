// client: talks to a moe_server. `client --help` lists the commands,
// `client --helpfull` all flags.

#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "tools/client/control_commands.h"
#include "tools/client/generate_command.h"
#include "tools/client/inference_commands.h"
#include "tools/client/message_printer.h"
#include "tools/client/rpc_error.h"

namespace moe::client {
namespace {

constexpr char kUsage[] =
    R"(Talks to a moe_server.

  client generate [PROMPT | -]    answers, streamed as they arrive
  client tokenize [TEXT | -]      token ids and their bytes
  client detokenize ID...         the text of token ids
  client models                   the served models
  client info                     version, state, memory, layout of the server
  client load                     running and waiting requests, cache, counters
  client ranks                    the processes (ranks) of the server
  client experts                  tokens of each expert and rank, by layer
  client abort REQUEST_ID...      ends requests
  client drain [--wait=30s]       refuses new requests; waits for the last one
  client resume                   accepts requests again
  client health [--wait=30s]      exit status 0 once the server is SERVING

  client generate --max_new_tokens=64 --temperature=0.8 "Once upon a time"
  client generate --prompt_file=prompts.txt --lines --json

- is standard input. Flags may come anywhere; --address names the server.)";

struct Command {
  const char* name;
  int (*run)(const std::vector<std::string>& arguments);
};

constexpr Command kCommands[] = {{"generate", RunGenerate},
                                 {"tokenize", RunTokenize},
                                 {"detokenize", RunDetokenize},
                                 {"models", RunModels},
                                 {"info", RunInfo},
                                 {"load", RunLoad},
                                 {"ranks", RunRanks},
                                 {"experts", RunExperts},
                                 {"abort", RunAbort},
                                 {"drain", RunDrain},
                                 {"resume", RunResume},
                                 {"health", RunHealth}};

int Run(const std::vector<char*>& arguments) {
  if (arguments.size() < 2) {
    std::fprintf(stderr, "%s\n", kUsage);
    return 2;
  }
  const std::string name = arguments[1];
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    const int exit_status =
        command.run({arguments.begin() + 2, arguments.end()});
    if (!CheckPrinted() && exit_status == kExitOk) return kExitFailed;
    return exit_status;
  }
  std::fprintf(stderr, "client: no command \"%s\"; see client --help\n",
               name.c_str());
  return 2;
}

}  // namespace
}  // namespace moe::client

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(moe::client::kUsage);
  absl::FlagsUsageConfig config;
  // --help lists the flags of all commands, not only those of this file.
  config.contains_help_flags = [](absl::string_view file) {
    return absl::StrContains(file, "tools/client/");
  };
  absl::SetFlagsUsageConfig(config);
  return moe::client::Run(absl::ParseCommandLine(argc, argv));
}
