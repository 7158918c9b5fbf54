#include "server/grpc/grpc_server.h"

#include <grpc/support/time.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "server/generation/health_monitor.h"
#include "server/grpc/connection_listener.h"
#include "server/grpc/control_service.h"
#include "server/grpc/generation_service.h"
#include "server/logging/log.h"

namespace moe {
namespace {

constexpr char kHealthServices[][20] = {"", "moe.v1.Inference"};

// Process-wide options of gRPC, which must be set before a server is built.
void InitGrpcPlugins() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

absl::StatusOr<std::string> ReadPem(const char* field,
                                    const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream || !absl::StrContains(text.str(), "-----BEGIN ")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "server.tls.", field, ": \"", path, "\" is not a readable PEM file"));
  }
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const ListenConfig& config) {
  if (!config.tls.has_value()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options;
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSIGN_OR_RETURN(pair.private_key,
                   ReadPem("private_key", config.tls->private_key));
  ASSIGN_OR_RETURN(pair.cert_chain,
                   ReadPem("certificate", config.tls->certificate));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  if (!config.tls->client_ca.empty()) {
    ASSIGN_OR_RETURN(options.pem_root_certs,
                     ReadPem("client_ca", config.tls->client_ca));
    options.client_certificate_request =
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

void SetOptions(const ListenConfig& config, grpc::ServerBuilder& builder) {
  const auto milliseconds = [](absl::Duration duration) {
    return static_cast<int>(absl::ToInt64Milliseconds(duration));
  };
  builder.SetMaxReceiveMessageSize(static_cast<int>(config.max_message_bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(config.max_message_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(config.max_concurrent_streams));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             milliseconds(config.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             milliseconds(config.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Nothing is sent during a long prefill. Clients that ping meanwhile must not
  // be disconnected for it.
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      milliseconds(config.min_client_ping_interval));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

// By gRPC's steady clock.
gpr_timespec FromNow(absl::Duration duration) {
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_micros(absl::ToInt64Microseconds(duration), GPR_TIMESPAN));
}

// gRPC reports a bad certificate or key only when it opens a port with them.
absl::Status CheckTls(
    const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials, &port);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server != nullptr && port != 0) {
    server->Shutdown(FromNow(absl::ZeroDuration()));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "server.tls: the certificate and the private key do not work together, "
      "or one of them is not valid");
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> OpenCredentials(
    const ListenConfig& config) {
  ASSIGN_OR_RETURN(auto credentials, MakeCredentials(config));
  if (config.tls.has_value()) RETURN_IF_ERROR(CheckTls(credentials));
  return credentials;
}

class GrpcServerImpl : public GrpcServer {
 public:
  GrpcServerImpl(const ListenConfig& config, InferenceCore& core)
      : core_(core),
        generation_(MakeGenerationService(core, config.max_message_bytes)),
        control_(MakeControlService(core, config.remote_control)) {}

  ~GrpcServerImpl() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Listen(const ListenConfig& config) {
    ASSIGN_OR_RETURN(listener_,
                     ConnectionListener::Open(config.address, config.port));
    port_ = listener_->port();
    RETURN_IF_ERROR(Build(config));
    // gRPC reports SERVING until the monitor's first report, which comes now.
    monitor_ = std::make_unique<HealthMonitor>(
        [this] { return core_.CheckReady(); },
        [this](const absl::Status& status) {
          Log(status.ok() ? Severity::kInfo : Severity::kWarning, "health",
              {{"status", status.ok() ? "SERVING" : "NOT_SERVING"},
               {"message", std::string(status.message())}});
          Report(status);
        },
        kHealthInterval);
    core_.SetReadyListener([this] { UpdateHealth(); });
    // keepalive_timeout also bounds how long sent data may stay unacknowledged.
    listener_->Start(config.keepalive_timeout, [this](int fd) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters
          connection;
      connection.fd = fd;
      acceptor_->HandleNewConnection(&connection);
    });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  void UpdateHealth() {
    std::lock_guard lock(shutdown_mutex_);
    if (monitor_ != nullptr) monitor_->CheckNow();
  }

  void Shutdown(absl::Duration grace) override {
    core_.SetReadyListener(nullptr);
    std::lock_guard lock(shutdown_mutex_);
    monitor_.reset();
    listener_.reset();
    if (server_ == nullptr) return;
    Report(absl::UnavailableError("shutting down"));
    server_->Shutdown(FromNow(grace));
    server_.reset();
  }

 private:
  absl::Status Build(const ListenConfig& config) {
    ASSIGN_OR_RETURN(const auto credentials, OpenCredentials(config));
    grpc::ServerBuilder builder;
    SetOptions(config, builder);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        credentials);
    builder.RegisterService(generation_.get());
    builder.RegisterService(control_.get());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return absl::InternalError("gRPC cannot start its server");
    }
    return absl::OkStatus();
  }

  void Report(const absl::Status& status) {
    for (const char* service : kHealthServices) {
      server_->GetHealthCheckService()->SetServingStatus(service, status.ok());
    }
  }

  InferenceCore& core_;
  std::unique_ptr<grpc::Service> generation_;
  std::unique_ptr<grpc::Service> control_;
  int port_ = 0;
  std::mutex shutdown_mutex_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<ConnectionListener> listener_;
  std::unique_ptr<HealthMonitor> monitor_;
};

}  // namespace

absl::Status GrpcServer::Check(const ListenConfig& config) {
  InitGrpcPlugins();
  RETURN_IF_ERROR(
      ConnectionListener::Open(config.address, config.port).status());
  return OpenCredentials(config).status();
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    const ListenConfig& config, InferenceCore& core) {
  InitGrpcPlugins();
  auto server = std::make_unique<GrpcServerImpl>(config, core);
  RETURN_IF_ERROR(server->Listen(config));
  return server;
}

}  // namespace moe
