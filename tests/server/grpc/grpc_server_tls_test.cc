#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/grpc/grpc_server.h"
#include "server/grpc/tls_certificates.h"
#include "server/logging/log.h"
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
    for (const char* name : {"server", "client", "renewed"}) {
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

// As Kubernetes does: the files are links into a directory that is exchanged.
class TlsReloadTest : public GrpcServerTlsTest {
 protected:
  TlsReloadTest() : directory_(Path("mounted")) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    Use("server.crt", "server.key");
    for (const char* name : {"tls.crt", "tls.key"}) {
      std::filesystem::create_symlink(absl::StrCat("..data/", name),
                                      directory_ + "/" + name);
    }
    auto certificates = TlsCertificates::Load(
        {directory_ + "/tls.crt", directory_ + "/tls.key", ""},
        absl::Milliseconds(10));
    EXPECT_TRUE(certificates.ok()) << certificates.status();
    certificates_ = *std::move(certificates);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", certificates_->MakeCredentials(),
                             &port_);
    server_ = builder.BuildAndStart();
  }

  // Exchanges both files at once.
  void Use(const std::string& certificate, const std::string& key) {
    const std::string data = absl::StrCat(directory_, "/..", ++num_versions_);
    std::filesystem::create_directory(data);
    std::filesystem::copy_file(Path(certificate), data + "/tls.crt");
    std::filesystem::copy_file(Path(key), data + "/tls.key");
    std::filesystem::create_directory_symlink(data, directory_ + "/..next");
    std::filesystem::rename(directory_ + "/..next", directory_ + "/..data");
  }

  // True if a new connection that trusts `certificate` only comes about.
  bool Connects(const std::string& certificate) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ReadFile(Path(certificate));
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel =
        grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port_),
                                  grpc::SslCredentials(options), arguments);
    auto state = channel->GetState(/*try_to_connect=*/true);
    const auto deadline =
        std::chrono::system_clock::now() + std::chrono::seconds(30);
    while (state != GRPC_CHANNEL_READY &&
           state != GRPC_CHANNEL_TRANSIENT_FAILURE) {
      if (!channel->WaitForStateChange(state, deadline)) break;
      state = channel->GetState(true);
    }
    return state == GRPC_CHANNEL_READY;
  }

  // From now on the log goes to a file: no line may be lost between two looks.
  void CaptureLog() {
    FlushLog(absl::Seconds(1));
    saved_stderr_ = dup(STDERR_FILENO);
    const int file = open(Path("log_lines").c_str(),
                          O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
    ASSERT_EQ(dup2(file, STDERR_FILENO), STDERR_FILENO);
    close(file);
  }
  void ReleaseLog() {
    FlushLog(absl::Seconds(1));
    dup2(saved_stderr_, STDERR_FILENO);
    close(saved_stderr_);
  }

  // The log, once it has `event`.
  std::string WaitForLog(const std::string& event) {
    std::string log;
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    do {
      FlushLog(absl::Seconds(1));
      log = ReadFile(Path("log_lines"));
      std::this_thread::yield();
    } while (!absl::StrContains(log, event) && absl::Now() < deadline);
    EXPECT_TRUE(absl::StrContains(log, event)) << log;
    return log;
  }

  const std::string directory_;
  int num_versions_ = 0;
  int saved_stderr_ = -1;
  int port_ = 0;
  std::unique_ptr<TlsCertificates> certificates_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(TlsReloadTest, NewConnectionsGetTheRenewedCertificate) {
  CaptureLog();
  EXPECT_TRUE(Connects("server.crt"));
  // The key of another certificate: the old pair stays.
  Use("renewed.crt", "client.key");
  const std::string log = WaitForLog("event=certificate_not_reloaded");
  EXPECT_TRUE(absl::StrContains(log, "server.tls.private_key")) << log;
  EXPECT_TRUE(Connects("server.crt"));
  EXPECT_FALSE(Connects("renewed.crt"));
  Use("renewed.crt", "renewed.key");
  WaitForLog("event=certificate_reloaded");
  EXPECT_TRUE(Connects("renewed.crt"));
  EXPECT_FALSE(Connects("server.crt"));
  ReleaseLog();
}

TEST_F(GrpcServerTlsTest, TheEndOfACertificatesTimeIsLogged) {
  // Their whole time is two days, so the last 9.6 hours give a warning.
  for (const auto& [begin, end, event] :
       {std::tuple(-47, 1, "level=warning event=certificate_expires "),
        std::tuple(-49, -1, "level=error event=certificate_expired "),
        std::tuple(1, 49, "level=error event=certificate_not_valid_yet "),
        std::tuple(-1, 47, "")}) {
    const auto time = [](int hours) {
      return absl::FormatTime("%Y%m%d%H%M%SZ", absl::Now() + absl::Hours(hours),
                              absl::UTCTimeZone());
    };
    const std::string command = absl::StrCat(
        "cd ", Directory(),
        " && rm -rf ca && mkdir ca && touch ca/index && "
        "echo 01 > ca/serial && printf '[ca]\ndefault_ca=d\n[d]\n"
        "database=ca/index\nserial=ca/serial\nnew_certs_dir=ca\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > ca/conf "
        "&& openssl req -new -key server.key -subj /CN=localhost -out ca/csr "
        "2> log && openssl ca -batch -selfsign -config ca/conf -keyfile "
        "server.key -in ca/csr -out timed.crt -notext -startdate ",
        time(begin), " -enddate ", time(end), " 2>> log");
    ASSERT_EQ(std::system(command.c_str()), 0) << ReadFile(Path("log"));
    testing::internal::CaptureStderr();
    {
      const auto certificates =
          TlsCertificates::Load({Path("timed.crt"), Path("server.key"), ""});
      EXPECT_TRUE(certificates.ok()) << certificates.status();
    }
    FlushLog(absl::Seconds(30));
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(absl::StrContains(log, event)) << log;
    if (*event == '\0') {
      EXPECT_EQ(log, "");
    }
  }
}

}  // namespace
}  // namespace moe
