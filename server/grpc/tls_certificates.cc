#include "server/grpc/tls_certificates.h"

#include <grpc/grpc.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"
#include "server/logging/log.h"

namespace moe {
namespace {

// When to begin to warn: this long before the end, or this part of the
// certificate's whole time, whichever is shorter.
constexpr absl::Duration kWarnBefore = absl::Hours(24 * 14);
constexpr int kWarnPart = 5;
constexpr absl::Duration kWarnInterval = absl::Hours(24);

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

absl::Status BadFile(const char* field, const std::string& path,
                     absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("server.tls.", field, ": \"", path, "\" ", why));
}

absl::StatusOr<std::string> ReadPem(const char* field,
                                    const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream || !absl::StrContains(text.str(), "-----BEGIN ")) {
    return BadFile(field, path, "is not a readable PEM file");
  }
  return text.str();
}

Bio BioOf(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())),
             &BIO_free);
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

// An encrypted key must not make OpenSSL ask on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

// gRPC's credentials with a callback for the certificate have no C++ form.
class FetchedCredentials : public grpc::ServerCredentials {
 public:
  explicit FetchedCredentials(grpc_server_credentials* credentials)
      : credentials_(credentials) {}
  ~FetchedCredentials() override {
    grpc_server_credentials_release(credentials_);
  }

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

std::string ToText(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsConfig& config) {
  TlsFiles files;
  ASSIGN_OR_RETURN(files.private_key,
                   ReadPem("private_key", config.private_key));
  ASSIGN_OR_RETURN(files.certificate,
                   ReadPem("certificate", config.certificate));
  if (!config.client_ca.empty()) {
    ASSIGN_OR_RETURN(files.client_ca, ReadPem("client_ca", config.client_ca));
    const Certificate ca(PEM_read_bio_X509(BioOf(files.client_ca).get(),
                                           nullptr, NoPassword, nullptr),
                         &X509_free);
    if (ca == nullptr) {
      return BadFile("client_ca", config.client_ca, "has no valid certificate");
    }
  }
  const Certificate certificate(
      PEM_read_bio_X509(BioOf(files.certificate).get(), nullptr, NoPassword,
                        nullptr),
      &X509_free);
  if (certificate == nullptr) {
    return BadFile("certificate", config.certificate,
                   "has no valid certificate");
  }
  const Key key(PEM_read_bio_PrivateKey(BioOf(files.private_key).get(), nullptr,
                                        NoPassword, nullptr),
                &EVP_PKEY_free);
  if (key == nullptr) {
    return BadFile("private_key", config.private_key,
                   "has no valid private key without password");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return BadFile("private_key", config.private_key,
                   absl::StrCat("is not the key of the certificate in \"",
                                config.certificate, "\""));
  }
  files.not_before = ToTime(X509_get0_notBefore(certificate.get()));
  files.not_after = ToTime(X509_get0_notAfter(certificate.get()));
  return files;
}

absl::StatusOr<std::unique_ptr<TlsCertificates>> TlsCertificates::Load(
    const TlsConfig& config, absl::Duration reload_interval) {
  ASSIGN_OR_RETURN(TlsFiles files, ReadTlsFiles(config));
  return std::unique_ptr<TlsCertificates>(
      new TlsCertificates(config, std::move(files), reload_interval));
}

TlsCertificates::TlsCertificates(const TlsConfig& config, TlsFiles files,
                                 absl::Duration reload_interval)
    : config_(config),
      reload_interval_(reload_interval),
      files_(std::move(files)) {
  LogValidity();
  thread_ = std::thread([this] { Run(); });
}

TlsCertificates::~TlsCertificates() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

std::shared_ptr<grpc::ServerCredentials> TlsCertificates::MakeCredentials() {
  const auto request =
      config_.client_ca.empty()
          ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
          : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  return std::make_shared<FetchedCredentials>(
      grpc_ssl_server_credentials_create_with_options(
          grpc_ssl_server_credentials_create_options_using_config_fetcher(
              request, &TlsCertificates::Fetch, this)));
}

grpc_ssl_certificate_config_reload_status TlsCertificates::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  TlsCertificates& certificates = *static_cast<TlsCertificates*>(self);
  std::lock_guard lock(certificates.mutex_);
  if (!std::exchange(certificates.is_new_, false)) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const TlsFiles& files = certificates.files_;
  const grpc_ssl_pem_key_cert_pair pair = {files.private_key.c_str(),
                                           files.certificate.c_str()};
  // gRPC demands authorities even where it asks clients for no certificate.
  const std::string& authorities =
      files.client_ca.empty() ? files.certificate : files.client_ca;
  *config =
      grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

void TlsCertificates::Run() {
  const auto wait = absl::ToChronoNanoseconds(reload_interval_);
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, wait, [this] { return stopping_; })) {
    lock.unlock();
    Reload();
    LogValidity();
    lock.lock();
  }
}

void TlsCertificates::Reload() {
  absl::StatusOr<TlsFiles> files = ReadTlsFiles(config_);
  if (!files.ok()) {
    const std::string error(files.status().message());
    if (std::exchange(last_error_, error) == error) return;
    Log(Severity::kError, "certificate_not_reloaded",
        {{"message",
          absl::StrCat(error, "; connections get the old certificate")}});
    return;
  }
  last_error_.clear();
  {
    std::lock_guard lock(mutex_);
    if (files->SameContents(files_)) return;
    files_ = *files;
    is_new_ = true;
  }
  last_validity_log_ = absl::InfinitePast();
  logged_expired_ = false;
  Log(Severity::kInfo, "certificate_reloaded",
      {{"certificate", config_.certificate},
       {"not_after", ToText(files->not_after)}});
}

void TlsCertificates::LogValidity() {
  absl::Time not_before, not_after;
  {
    std::lock_guard lock(mutex_);
    not_before = files_.not_before;
    not_after = files_.not_after;
  }
  const absl::Time now = absl::Now();  // as the certificate's times are
  const absl::Time steady_now = SteadyNow();
  const bool expired = now >= not_after;
  if (steady_now - last_validity_log_ < kWarnInterval &&
      expired == logged_expired_) {
    return;
  }
  const absl::Duration warn_before =
      std::min(kWarnBefore, (not_after - not_before) / kWarnPart);
  if (not_after - now > warn_before && now >= not_before) return;
  const char* message =
      expired ? "the certificate has expired: clients refuse to connect"
      : now < not_before
          ? "the certificate is not valid yet: clients refuse to connect"
          : "renew the certificate: the server reads the new files by itself";
  Log(expired || now < not_before ? Severity::kError : Severity::kWarning,
      expired            ? "certificate_expired"
      : now < not_before ? "certificate_not_valid_yet"
                         : "certificate_expires",
      {{"certificate", config_.certificate},
       {"not_before", ToText(not_before)},
       {"not_after", ToText(not_after)},
       {"message", message}});
  last_validity_log_ = steady_now;
  logged_expired_ = expired;
}

}  // namespace moe
