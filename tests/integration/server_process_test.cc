// The real program with a real PR-MoE checkpoint.
#include "tests/integration/server_process.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "tests/integration/golden_answers.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

constexpr char kModel[] = "prmoe_head";
// More tokens than the machine generates in a test.
constexpr char kLongWork[] = R"(engine { threads: 1 })";

std::string Config(const std::string& more) {
  return absl::StrCat("model { path: \"", GoldenDirectory(kModel),
                      "\" weight_dtype: F32 }\n", more);
}

std::string Server(const std::string& more = "") {
  return absl::StrCat("server { port: 0 port_file: \"port\" ", more, " }\n");
}

std::unique_ptr<v1::Inference::Stub> Connect(int port) {
  return v1::Inference::NewStub(grpc::CreateChannel(
      absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
}

TEST(ServerProcessTest, ServesAPrMoeCheckpointAndStopsOnSigterm) {
  ServerProcess process(Config(Server() + kLongWork));
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.Log();
  const auto stub = Connect(port);

  ExpectGoldenAnswers(kModel, *stub);

  v1::GenerateRequest text;
  text.set_text("text");
  grpc::ClientContext context;
  v1::GenerateResponse response;
  EXPECT_EQ(stub->Generate(&context, text, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);

  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(), 0);
  const std::string log = process.Log();
  EXPECT_TRUE(absl::StrContains(log, "experts_per_layer=0,2,0,4,0,8")) << log;
  EXPECT_TRUE(absl::StrContains(
      log, absl::StrCat("event=listening address=127.0.0.1 port=", port)))
      << log;
  EXPECT_TRUE(absl::StrContains(log, "event=request_finished")) << log;
  EXPECT_TRUE(absl::StrContains(log, "event=stopped finished_all=true")) << log;
}

TEST(ServerProcessTest, CheckConfigOnlyChecks) {
  ServerProcess good(Config(Server()), {.flags = {"--check_config"}});
  EXPECT_EQ(good.WaitForExit(), 0) << good.Log();
  EXPECT_TRUE(absl::StrContains(good.Log(), "is valid")) << good.Log();
  EXPECT_FALSE(absl::StrContains(good.Log(), "listening")) << good.Log();

  ServerProcess bad(Config("engine { threads: 0 }"),
                    {.flags = {"--check_config"}});
  EXPECT_EQ(bad.WaitForExit(), 1);
  EXPECT_TRUE(absl::StrContains(
      bad.Log(), "server.textproto:2: engine.threads is 0; it must be in"))
      << bad.Log();

  ServerProcess no_model("model { path: \".\" }",
                         {.flags = {"--check_config"}});
  EXPECT_EQ(no_model.WaitForExit(), 1) << no_model.Log();
}

TEST(ServerProcessTest, CheckConfigFindsWhatAStartWould) {
  const auto expect = [](const std::string& config, const std::string& what) {
    ServerProcess process(config, {.flags = {"--check_config"}});
    EXPECT_EQ(process.WaitForExit(), 1) << process.Log();
    EXPECT_TRUE(absl::StrContains(process.Log(), what)) << process.Log();
  };
  expect(Config(Server() + "engine { kv_cache_bytes: 1 }"),
         "kv_cache_bytes is 1; one block of this model needs");
  expect(absl::StrCat("model { path: \"", GoldenDirectory(kModel),
                      "\" eos_token_ids: 501 }"),
         "501");
  expect(Config("server { address: \"203.0.113.7\" }"),
         "cannot listen on 203.0.113.7");
  expect("model { path: \".\" }", "model.path: ");
}

// Also an address that no machine has.
TEST(ServerProcessTest, TheCommandLineGoesBeforeTheFilesAddress) {
  const std::string port_file = testing::TempDir() + "/port_of_flags";
  ServerProcess process(
      Config(std::string(R"(server: { address: "203.0.113.7" port: 1 )"
                         R"(port_file: "no_such_directory/port" } )") +
             kLongWork),
      {.flags = {"--address=127.0.0.1", "--port=0",
                 "--port_file=" + port_file}});
  int port = 0;
  while (!(std::ifstream(port_file) >> port)) {
    ASSERT_EQ(process.WaitForExit(absl::Milliseconds(5)), -1) << process.Log();
  }
  EXPECT_TRUE(absl::StrContains(
      process.Log(),
      absl::StrCat("event=listening address=127.0.0.1 port=", port)))
      << process.Log();

  for (const char* wrong : {"--port=65536", "--port=-1"}) {
    ServerProcess refused(Config(Server()), {.flags = {wrong}});
    EXPECT_EQ(refused.WaitForExit(), 1) << refused.Log();
    EXPECT_TRUE(absl::StrContains(refused.Log(), "INVALID_ARGUMENT"))
        << refused.Log();
  }
}

TEST(ServerProcessTest, ExtraArgumentsAreRefused) {
  ServerProcess process(Config(Server()), {.flags = {"stray"}});
  EXPECT_EQ(process.WaitForExit(), 1);
  EXPECT_TRUE(absl::StrContains(process.Log(), "unexpected argument \"stray\""))
      << process.Log();
}

TEST(ServerProcessTest, HelpListsTheFlags) {
  ServerProcess process(Config(Server()), {.flags = {"--help"}});
  EXPECT_NE(process.WaitForExit(), -1);
  EXPECT_TRUE(absl::StrContains(process.Log(), "--check_config"))
      << process.Log();
}

TEST(ServerProcessTest, APortInUseEndsItWithTheReason) {
  ServerProcess first(Config(Server() + kLongWork));
  const int port = first.WaitForPort();
  ASSERT_NE(port, 0) << first.Log();
  ServerProcess second(
      Config(absl::StrCat("server { port: ", port, " }\n", kLongWork)));
  EXPECT_EQ(second.WaitForExit(), 1);
  EXPECT_TRUE(absl::StrContains(second.Log(), "cannot listen on"))
      << second.Log();
}

}  // namespace
}  // namespace moe
