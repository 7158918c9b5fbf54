#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <string>

namespace moe::client {

// Exit statuses of the program.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // the server's answer is an error
inline constexpr int kExitUsage = 2;   // the command line is wrong
inline constexpr int kExitInterrupted = 130;

// What went wrong and what to do about it, for people, on one or more lines:
// the code, the message, each wrong field, when to try again.
// `connected`: whether the call's channel reached the server at `address`.
std::string DescribeError(const grpc::Status& status, bool connected,
                          const std::string& address);

// Prints the description; returns kExitFailed.
int ReportError(const grpc::Status& status, grpc::Channel& channel);

}  // namespace moe::client
