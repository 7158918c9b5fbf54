#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace moe {

class ConfigSection;
namespace config {
class Server;
}  // namespace config

struct TlsConfig {
  std::string certificate;  // PEM files
  std::string private_key;
  std::string client_ca;  // "": clients need no certificate
};

// Where and how the server listens. Fields as in moe.config.Server.
struct ListenConfig {
  std::string address = "127.0.0.1";
  int port = 50051;       // 0: any free port
  std::string port_file;  // "": none
  std::optional<TlsConfig> tls;
  int64_t max_message_bytes = int64_t{16} << 20;
  int64_t max_metadata_bytes = int64_t{64} << 10;
  int64_t max_concurrent_streams = 1024;
  absl::Duration keepalive_time = absl::Seconds(30);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  absl::Duration min_client_ping_interval = absl::Seconds(10);
  bool remote_control = false;
};

// `section`: of `proto`. kInvalidArgument that names line and field.
absl::StatusOr<ListenConfig> ReadListen(const config::Server& proto,
                                        const ConfigSection& section);

}  // namespace moe
