#include "server/grpc/grpc_server.h"

#include <grpc/support/time.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "kernels/core/status_macros.h"
#include "server/generation/health_monitor.h"
#include "server/grpc/connection_listener.h"
#include "server/grpc/control_service.h"
#include "server/grpc/generation_service.h"
#include "server/grpc/tls_certificates.h"
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

void SetOptions(const ListenConfig& config, grpc::ServerBuilder& builder) {
  const auto milliseconds = [](absl::Duration duration) {
    return static_cast<int>(absl::ToInt64Milliseconds(duration));
  };
  builder.SetMaxReceiveMessageSize(static_cast<int>(config.max_message_bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(config.max_message_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                             static_cast<int>(config.max_metadata_bytes));
  // Newer versions of gRPC refuse calls at random between the two limits.
  builder.AddChannelArgument("grpc.absolute_max_metadata_size",
                             static_cast<int>(config.max_metadata_bytes));
  // gRPC inflates a message before it checks the size: a megabyte could become
  // a gigabyte. Compressed requests are UNIMPLEMENTED instead, with the list of
  // what is accepted, as gRPC's protocol demands.
  builder.AddChannelArgument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
                             1 << GRPC_COMPRESS_NONE);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(config.max_concurrent_streams));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             milliseconds(config.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             milliseconds(config.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Pings continue however long nothing else is sent.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
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

// Checks TLS files. gRPC reports some that it does not take only when it opens
// a port with them.
absl::Status CheckTls(const TlsConfig& config) {
  ASSIGN_OR_RETURN(const TlsFiles files, ReadTlsFiles(config));
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({files.private_key, files.certificate});
  options.pem_root_certs = files.client_ca;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options),
                           &port);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server != nullptr && port != 0) {
    server->Shutdown(FromNow(absl::ZeroDuration()));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "server.tls: the certificate and the private key do not work together, "
      "or one of them is not valid");
}

class GrpcServerImpl : public GrpcServer {
 public:
  GrpcServerImpl(const ListenConfig& config, InferenceCore& core)
      : core_(core),
        generation_(MakeGenerationService(core)),
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
    std::shared_ptr<grpc::ServerCredentials> credentials =
        grpc::InsecureServerCredentials();
    if (config.tls.has_value()) {
      RETURN_IF_ERROR(CheckTls(*config.tls));
      ASSIGN_OR_RETURN(certificates_, TlsCertificates::Load(*config.tls));
      credentials = certificates_->MakeCredentials();
    }
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
  std::unique_ptr<TlsCertificates> certificates_;  // null: plain text
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
  return config.tls.has_value() ? CheckTls(*config.tls) : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    const ListenConfig& config, InferenceCore& core) {
  InitGrpcPlugins();
  auto server = std::make_unique<GrpcServerImpl>(config, core);
  RETURN_IF_ERROR(server->Listen(config));
  return server;
}

}  // namespace moe
