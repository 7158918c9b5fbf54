#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/config/listen_config.h"

namespace moe {

// The contents of the files of a TlsConfig.
struct TlsFiles {
  std::string certificate;
  std::string private_key;
  std::string client_ca;  // "": none
  // When the first certificate of the chain ends or begins to be valid.
  absl::Time not_before;
  absl::Time not_after;

  bool SameContents(const TlsFiles& other) const {
    return certificate == other.certificate &&
           private_key == other.private_key && client_ca == other.client_ca;
  }
};

// Reads and checks the files: PEM, and the key is the certificate's. Also
// accepts a certificate that is not valid now. kInvalidArgument names the field
// and the file.
absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsConfig& config);

// The TLS credentials of a server, which follow the files: new connections get
// a renewed certificate. While new files are broken, they get the old one. Logs
// both, and warns when the end of the certificate's validity comes near.
// Thread-safe.
class TlsCertificates {
 public:
  // How often the files are read. They are small, and a symbolic link that is
  // exchanged changes no time of the files themselves.
  static constexpr absl::Duration kReloadInterval = absl::Seconds(10);

  // Errors as in ReadTlsFiles.
  static absl::StatusOr<std::unique_ptr<TlsCertificates>> Load(
      const TlsConfig& config,
      absl::Duration reload_interval = kReloadInterval);
  ~TlsCertificates();
  TlsCertificates(const TlsCertificates&) = delete;
  TlsCertificates& operator=(const TlsCertificates&) = delete;

  // For one server, which this object must outlive.
  std::shared_ptr<grpc::ServerCredentials> MakeCredentials();

 private:
  TlsCertificates(const TlsConfig& config, TlsFiles files,
                  absl::Duration reload_interval);
  // What gRPC calls for each new connection.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);
  void Run();
  void Reload();
  void LogValidity();

  const TlsConfig config_;
  const absl::Duration reload_interval_;
  // thread_ only, after Load.
  std::string last_error_;
  absl::Time last_validity_log_ = absl::InfinitePast();
  bool logged_expired_ = false;

  std::mutex mutex_;
  TlsFiles files_;      // guarded by mutex_, as are those below
  bool is_new_ = true;  // gRPC has not fetched files_ yet
  bool stopping_ = false;
  std::condition_variable stop_;
  std::thread thread_;
};

}  // namespace moe
