#include "engine/runtime/engine_log.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <string>

#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(EngineLogTest, LinesAreKeysAndQuotedValues) {
  std::ostringstream out;
  auto logger = std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger->set_pattern("%l %v");
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(logger);
  LogEngineEvent(EngineLogLevel::kWarning, "things_happen",
                 {{"plain", "a,b"},
                  {"blank", "two words"},
                  {"quote", "say \"x\"\n"},
                  {"none", ""},
                  {"integer", int64_t{1} << 40},
                  {"number", 0.25}});
  spdlog::set_default_logger(before);
  EXPECT_EQ(out.str(),
            "warning event=things_happen plain=a,b blank=\"two words\" "
            "quote=\"say \\\"x\\\" \" none=\"\" "
            "integer=1099511627776 number=0.25\n");
}

TEST(EngineLogTest, SinkReplacesSpdlog) {
  std::string seen;
  SetEngineLogSink([&](EngineLogLevel level, const std::string& event,
                       const EngineLogFields& fields) {
    EXPECT_EQ(level, EngineLogLevel::kError);
    seen = event + ":" + fields.at(0).first + "=" +
           std::get<std::string>(fields.at(0).second);
  });
  LogEngineEvent(EngineLogLevel::kError, "e", {{"k", "v w"}});
  SetEngineLogSink({});
  EXPECT_EQ(seen, "e:k=v w");
}

}  // namespace
}  // namespace moe
