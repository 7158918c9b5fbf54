#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <string>

namespace moe::client {

// Exit statuses of the program.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // the server returned an error
inline constexpr int kExitUsage = 2;   // the command line is wrong
inline constexpr int kExitInterrupted = 130;

// Describes an error for people on one or more lines: the code, the message,
// each wrong field, when to retry. `connected`: the call's channel has reached
// the server at `address`.
std::string DescribeError(const grpc::Status& status, bool connected,
                          const std::string& address);

// Prints the description; returns kExitFailed.
int ReportError(const grpc::Status& status, grpc::Channel& channel);

}  // namespace moe::client
