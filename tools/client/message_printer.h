#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "absl/strings/string_view.h"

namespace moe::client {

// Whether --json asks for JSON on standard output.
bool WantsJson();

// `message` as one line of JSON with the fields' proto names.
std::string ToJsonLine(const google::protobuf::Message& message);

// Writes to standard output at once.
void Print(absl::string_view text);

// The message as JSON if asked for, else in Protobuf text format.
void PrintMessage(const google::protobuf::Message& message);

}  // namespace moe::client
