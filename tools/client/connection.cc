#include "tools/client/connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <fstream>
#include <sstream>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"

ABSL_FLAG(std::string, address, "127.0.0.1:50051", "Server: host:port.");
ABSL_FLAG(absl::optional<absl::Duration>, timeout, absl::nullopt,
          "Time for the whole call, such as 30s. Default: none for generate, "
          "10s for others.");
ABSL_FLAG(bool, tls, false,
          "Encrypt. The server's certificate must be signed by one of the "
          "system's authorities, or of --tls_ca.");
ABSL_FLAG(std::string, tls_ca, "", "PEM file of authorities. Implies --tls.");
ABSL_FLAG(
    std::string, tls_certificate, "",
    "PEM file of this client's certificate, for servers that require one.");
ABSL_FLAG(std::string, tls_private_key, "",
          "PEM file of that certificate's private key.");
ABSL_FLAG(std::string, tls_server_name, "",
          "Name in the server's certificate, if it is not the address.");

namespace moe::client {
namespace {

// The server limits the size of messages; the client accepts any.
constexpr int kUnlimited = -1;

absl::Status ReadInto(const absl::Flag<std::string>& flag, const char* name,
                      std::string* content) {
  const std::string path = absl::GetFlag(flag);
  if (path.empty()) return absl::OkStatus();
  std::ifstream file(path, std::ios::binary);
  std::ostringstream buffer;
  if (!file || !(buffer << file.rdbuf())) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, ": cannot read \"", path, "\""));
  }
  *content = buffer.str();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel() {
  if (ServerAddress().empty()) {
    return absl::InvalidArgumentError("--address is empty, must be host:port");
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kUnlimited);
  const bool tls =
      absl::GetFlag(FLAGS_tls) || !absl::GetFlag(FLAGS_tls_ca).empty();
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (tls) {
    grpc::SslCredentialsOptions options;
    for (const absl::Status& status :
         {ReadInto(FLAGS_tls_ca, "tls_ca", &options.pem_root_certs),
          ReadInto(FLAGS_tls_certificate, "tls_certificate",
                   &options.pem_cert_chain),
          ReadInto(FLAGS_tls_private_key, "tls_private_key",
                   &options.pem_private_key)}) {
      if (!status.ok()) return status;
    }
    credentials = grpc::SslCredentials(options);
    const std::string name = absl::GetFlag(FLAGS_tls_server_name);
    if (!name.empty()) arguments.SetSslTargetNameOverride(name);
  } else {
    credentials = grpc::InsecureChannelCredentials();
  }
  return grpc::CreateCustomChannel(ServerAddress(), credentials, arguments);
}

std::string ServerAddress() { return absl::GetFlag(FLAGS_address); }

void SetDeadline(absl::Duration fallback, grpc::ClientContext* context) {
  const absl::Duration timeout =
      absl::GetFlag(FLAGS_timeout).value_or(fallback);
  if (timeout == absl::InfiniteDuration()) return;
  context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

}  // namespace moe::client
