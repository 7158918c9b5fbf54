#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/grpc/grpc_server.h"
#include "tests/fakes/fake_engine.h"
#include "tests/server/grpc/test_server.h"

namespace moe {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// The test makes its own certificates; the repository contains none.
class GrpcServerTlsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string dir = Directory();
    // Self-signed certificates for the server and the client.
    for (const char* name : {"server", "client"}) {
      const std::string command = absl::StrCat(
          "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
          "-nodes -days 2 -subj /CN=localhost -addext "
          "subjectAltName=DNS:localhost -keyout ",
          dir, "/", name, ".key -out ", dir, "/", name, ".crt 2> ", dir,
          "/openssl.log");
      ASSERT_EQ(std::system(command.c_str()), 0)
          << ReadFile(dir + "/openssl.log");
    }
  }
  static std::string Directory() { return std::getenv("TEST_TMPDIR"); }
  static std::string Path(const std::string& name) {
    return Directory() + "/" + name;
  }

  static ListenConfig Config(const std::string& client_ca) {
    ListenConfig config;
    config.tls = TlsConfig{Path("server.crt"), Path("server.key"), client_ca};
    return config;
  }

  // Lists the models of `server` with these credentials.
  static grpc::Status Call(
      const TestServer& server,
      const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    const auto stub = v1::Inference::NewStub(
        grpc::CreateCustomChannel(server.target(), credentials, arguments));
    grpc::ClientContext context;
    SetDeadline(context);
    v1::ListModelsResponse response;
    return stub->ListModels(&context, {}, &response);
  }
  static std::shared_ptr<grpc::ChannelCredentials> Credentials(
      bool with_certificate) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ReadFile(Path("server.crt"));
    if (with_certificate) {
      options.pem_cert_chain = ReadFile(Path("client.crt"));
      options.pem_private_key = ReadFile(Path("client.key"));
    }
    return grpc::SslCredentials(options);
  }

  FakeEngine engine_;
  ByteTokenizer tokenizer_;
};

TEST_F(GrpcServerTlsTest, ServesEncryptedAndRefusesPlainText) {
  TestServer server(FakeServedModel(engine_, &tokenizer_), Config(""));
  const grpc::Status status = Call(server, Credentials(false));
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Call(server, grpc::InsecureChannelCredentials()).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcServerTlsTest, ClientsNeedTheirCertificateIfSo) {
  TestServer server(FakeServedModel(engine_, &tokenizer_),
                    Config(Path("client.crt")));
  const grpc::Status status = Call(server, Credentials(true));
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Call(server, Credentials(false)).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcServerTlsTest, FilesThatAreNoPemAreNamed) {
  std::ofstream(Path("junk.pem")) << "junk";
  InferenceCore core(FakeServedModel(engine_, &tokenizer_));
  ListenConfig config = Config("");
  config.port = 0;
  config.tls->certificate = Path("junk.pem");
  const absl::Status status = GrpcServer::Start(config, core).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "server.tls.certificate"));
}

TEST_F(GrpcServerTlsTest, CheckFindsWhatDoesNotWork) {
  ListenConfig config = Config("");
  config.port = 0;
  EXPECT_TRUE(GrpcServer::Check(config).ok());
  // The key of another certificate.
  config.tls->private_key = Path("client.key");
  const absl::Status mixed = GrpcServer::Check(config);
  EXPECT_TRUE(absl::IsInvalidArgument(mixed)) << mixed;
  EXPECT_TRUE(absl::StrContains(mixed.message(), "server.tls")) << mixed;
  std::ofstream(Path("junk.pem")) << "-----BEGIN CERTIFICATE-----\njunk\n";
  config = Config("");
  config.port = 0;
  config.tls->certificate = Path("junk.pem");
  EXPECT_FALSE(GrpcServer::Check(config).ok());
  ListenConfig elsewhere;
  elsewhere.port = 0;
  elsewhere.address = "no.such.host.invalid";
  const absl::Status status = GrpcServer::Check(elsewhere);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "server.address")) << status;
}

}  // namespace
}  // namespace moe
