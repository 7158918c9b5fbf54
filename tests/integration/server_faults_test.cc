// The real program where what is around it fails.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

constexpr char kServer[] =
    "engine { threads: 1 }\n"
    "server { port: 0 port_file: \"port\" drain_grace: \"1s\" }\n";

std::string Config(const std::string& more, const std::string& of_model = "") {
  return absl::StrCat("model { path: \"", GoldenDirectory("prmoe_head"), "\" ",
                      of_model, " }\n", more);
}

// A call by a connection of its own.
grpc::Status Generate(int port) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto stub = v1::Inference::NewStub(
      grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port),
                                grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(20));
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(1);
  request.mutable_stopping()->set_max_new_tokens(1);
  v1::GenerateResponse response;
  return stub->Generate(&context, request, &response);
}

int Connect(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    ADD_FAILURE() << "cannot connect";
  return fd;
}

TEST(ServerFaultsTest, ALogThatNobodyReadsHoldsUpNothing) {
  const std::string path = testing::TempDir() + "/stuck_log";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int fifo = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(fifo, 0);
  while (write(fifo, "filling", 7) > 0) {
  }
  ServerProcess process(
      Config(kServer), {.prefix = {"sh", "-c", "exec \"$@\" 2>" + path, "sh"}});
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0);
  for (int i = 0; i < 20; ++i) {
    const grpc::Status status = Generate(port);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(absl::Seconds(20)), 0);
  close(fifo);
}

TEST(ServerFaultsTest, FewFileDescriptorsRefuseConnectionsButNotForGood) {
  ServerProcess process(
      Config(kServer),
      {.prefix = {"sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"}});
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.Log();
  std::vector<int> connections;
  for (int i = 0; i < 200; ++i) connections.push_back(Connect(port));
  EXPECT_FALSE(Generate(port).ok());
  for (const int fd : connections) close(fd);
  grpc::Status status;
  for (int i = 0; i < 50; ++i) {  // it has to notice that they are closed
    status = Generate(port);
    if (status.ok()) break;
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(), 0);
  for (const char* what :
       {"open_files_limit=128", "event=few_open_files",
        "event=connections_refused connections=1 open_files_limit=128"}) {
    EXPECT_TRUE(absl::StrContains(process.Log(), what)) << process.Log();
  }
}

TEST(ServerFaultsTest, APortFileThatCannotBeWrittenIsToldBeforeLoading) {
  for (const bool check : {true, false}) {
    ServerProcess process(
        Config("server { port: 0 port_file: \"no/such/directory/port\" }"),
        {.flags = std::vector<std::string>(check ? 1 : 0, "--check_config")});
    EXPECT_EQ(process.WaitForExit(), 1);
    const std::string log = process.Log();
    EXPECT_TRUE(absl::StrContains(log, "server.port_file: ")) << log;
    EXPECT_TRUE(absl::StrContains(log, "directory that does not exist")) << log;
    EXPECT_FALSE(absl::StrContains(log, "event=loading")) << log;
  }
}

TEST(ServerFaultsTest, ThePortFileIsThereWhileTheServerIsReady) {
  const std::string path = testing::TempDir() + "/ready_port";
  std::ofstream(path) << "1\n";
  ServerProcess failing(absl::StrCat("model { path: \".\" }\n",
                                     "server { port: 0 port_file: \"", path,
                                     "\" }"));
  EXPECT_EQ(failing.WaitForExit(), 1);
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "of an earlier server";

  ServerProcess process(Config(absl::StrCat(
      "server { port: 0 port_file: \"", path, "\" }\nengine { threads: 1 }")));
  while (access(path.c_str(), F_OK) != 0) {
    ASSERT_EQ(process.WaitForExit(absl::Milliseconds(5)), -1) << process.Log();
  }
  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(), 0);
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

// Layers 1, 3 and 5 of six have experts.
TEST(ServerFaultsTest, CheckConfigKnowsTheModelsLayers) {
  const auto check = [](int layer) {
    ServerProcess process(Config(absl::StrCat("parallel { moe_layers { layer: ",
                                              layer, " expert_degree: 1 } }")),
                          {.flags = {"--check_config"}});
    EXPECT_EQ(process.WaitForExit(), layer == 1 ? 0 : 1);
    return process.Log();
  };
  check(1);
  std::string log = check(77);
  EXPECT_TRUE(absl::StrContains(
      log, "parallel.moe_layers: layer is 77; the model has layers 0 to 5"))
      << log;
  log = check(2);
  EXPECT_TRUE(absl::StrContains(log, "layer is 2, which has no experts"))
      << log;
}

TEST(ServerFaultsTest, AVocabularyThatLacksTokensIsWarnedOf) {
  for (const bool small : {true, false}) {
    ServerProcess process(
        absl::StrCat("model { path: \"",
                     TestDataPath("configs/models/prose-pr-moe"), "\"",
                     small ? " checkpoint { vocab_size: 1000 }" : "", " }"),
        {.flags = {"--check_config"}});
    EXPECT_EQ(process.WaitForExit(), 0) << process.Log();
    EXPECT_EQ(absl::StrContains(process.Log(),
                                "event=small_vocabulary vocab_size=1000 "
                                "tokenizer_vocab_size="),
              small)
        << process.Log();
  }
}

}  // namespace
}  // namespace moe
