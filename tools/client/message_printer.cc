#include "tools/client/message_printer.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/flags/flag.h"

ABSL_FLAG(bool, json, false,
          "Print JSON, one object a line: for generate each chunk as it comes, "
          "and {\"statistics\": ...} last.");

namespace moe::client {

namespace {

int print_error = 0;  // errno of the first failed write; one thread prints

}  // namespace

bool WantsJson() { return absl::GetFlag(FLAGS_json); }

std::string ToJsonLine(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for a google.protobuf.Any of an unknown type; we have none.
  const auto status =
      google::protobuf::util::MessageToJsonString(message, &json, options);
  return status.ok() ? json : "{}";
}

void Print(absl::string_view text) {
  if (print_error != 0) return;
  errno = 0;
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (std::fflush(stdout) != 0 || !written) {
    print_error = errno != 0 ? errno : EIO;
  }
}

bool CheckPrinted() {
  if (print_error == 0) return true;
  std::fprintf(stderr, "client: cannot write to standard output: %s\n",
               std::strerror(print_error));
  return false;
}

void PrintMessage(const google::protobuf::Message& message) {
  if (WantsJson()) {
    Print(ToJsonLine(message) + "\n");
    return;
  }
  std::string text;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.PrintToString(message, &text);
  Print(text);
}

}  // namespace moe::client
