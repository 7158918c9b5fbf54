#include "server/logging/library_logs.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "engine/runtime/engine_log.h"
#include "server/logging/log.h"

namespace moe {
namespace {

// The log line that `write` causes; it must be one.
template <typename Write>
std::string LineOf(Write write) {
  testing::internal::CaptureStderr();
  write();
  FlushLog(absl::Seconds(30));
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_FALSE(text.empty());
  if (text.empty()) return text;
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
  text.pop_back();
  return text;
}

TEST(LibraryLogsTest, EnginesEventsKeepTheirFields) {
  InitLog(Severity::kInfo, LogFormat::kJson);
  CaptureLibraryLogs();
  const std::string line = LineOf([] {
    LogEngineEvent(EngineLogLevel::kWarning, "engine_loaded",
                   {{"family", "gpt \"moe\""},
                    {"experts", "0,4"},
                    {"host", "12"},
                    {"parameters", 11551112},
                    {"load_seconds", 0.25}});
  });
  const auto json = nlohmann::json::parse(line, nullptr, false);
  ASSERT_TRUE(json.is_object()) << line;
  EXPECT_EQ(json.value("event", ""), "engine_loaded");
  EXPECT_EQ(json.value("level", ""), "warning");
  EXPECT_EQ(json.value("family", ""), "gpt \"moe\"");
  EXPECT_EQ(json.value("experts", ""), "0,4");
  // A name, though it looks like a number.
  EXPECT_EQ(json.at("host"), "12");
  EXPECT_EQ(json.value("parameters", 0), 11551112);
  EXPECT_EQ(json.value("load_seconds", 0.0), 0.25);
}

TEST(LibraryLogsTest, LinesOfGrpcAndProtobufHaveTheSameForm) {
  InitLog(Severity::kInfo, LogFormat::kKeyValue);
  CaptureLibraryLogs();
  const std::string grpc =
      LineOf([] { gpr_log(GPR_ERROR, "port %d is\n in use", 1); });
  EXPECT_NE(grpc.find(" level=warning event=grpc file="), std::string::npos)
      << grpc;
  EXPECT_NE(grpc.find(" message=\"port 1 is\\n in use\""), std::string::npos)
      << grpc;
  gpr_log(GPR_INFO, "is not logged");
  gpr_log(GPR_DEBUG, "is not logged");
  const std::string metadata = LineOf([] {
    gpr_log(GPR_DEBUG,
            "received initial metadata size exceeds limit (9 vs. 8)");
  });
  EXPECT_NE(metadata.find(" level=warning event=grpc file="), std::string::npos)
      << metadata;
  const std::string protobuf = LineOf([] { GOOGLE_LOG(ERROR) << "not UTF-8"; });
  EXPECT_NE(protobuf.find(" level=warning event=protobuf file="),
            std::string::npos)
      << protobuf;
  EXPECT_NE(protobuf.find(" message=\"not UTF-8\""), std::string::npos)
      << protobuf;
}

}  // namespace
}  // namespace moe
