#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "absl/strings/string_view.h"

namespace moe::client {

// Whether --json asks for JSON on standard output.
bool WantsJson();

// `message` as one line of JSON with the fields' proto names.
std::string ToJsonLine(const google::protobuf::Message& message);

// Writes to standard output at once. What fails is told by CheckPrinted.
void Print(absl::string_view text);

// False, with a message on standard error, if standard output did not take all
// that was printed so far.
bool CheckPrinted();

// The message as JSON if asked for, else in Protobuf text format.
void PrintMessage(const google::protobuf::Message& message);

}  // namespace moe::client
