#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "absl/strings/string_view.h"

namespace moe::client {

// True if --json is set: JSON on standard output.
bool WantsJson();

// `message` as one line of JSON with the fields' proto names.
std::string ToJsonLine(const google::protobuf::Message& message);

// Writes to standard output at once; CheckPrinted reports errors.
void Print(absl::string_view text);

// False, with a message on standard error, if any write to standard output has
// failed so far.
bool CheckPrinted();

// The message as JSON with --json, else in Protobuf text format.
void PrintMessage(const google::protobuf::Message& message);

}  // namespace moe::client
