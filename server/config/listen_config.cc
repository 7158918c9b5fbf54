#include "server/config/listen_config.h"

#include "kernels/core/status_macros.h"
#include "proto/config.pb.h"
#include "server/config/config_section.h"

namespace moe {
namespace {

absl::StatusOr<TlsConfig> ReadTls(const ConfigSection& section) {
  TlsConfig tls;
  for (const char* field : {"certificate", "private_key"}) {
    if (!section.Has(field)) {
      return section.Error(field, "is required where there is tls");
    }
  }
  ASSIGN_OR_RETURN(tls.certificate, section.ExistingPath("certificate"));
  ASSIGN_OR_RETURN(tls.private_key, section.ExistingPath("private_key"));
  ASSIGN_OR_RETURN(tls.client_ca, section.ExistingPath("client_ca"));
  return tls;
}

}  // namespace

absl::StatusOr<ListenConfig> ReadListen(const config::Server& proto,
                                        const ConfigSection& section) {
  ListenConfig out;
  if (section.Has("address")) out.address = proto.address();
  ASSIGN_OR_RETURN(out.port, section.Integer("port", out.port, 0, 65535));
  out.port_file = section.Path("port_file");
  if (proto.has_tls()) {
    ASSIGN_OR_RETURN(out.tls, ReadTls(section.Nested("tls")));
  }
  ASSIGN_OR_RETURN(out.max_message_bytes,
                   section.Integer("max_message_bytes", out.max_message_bytes,
                                   64 << 10, 1 << 30));
  ASSIGN_OR_RETURN(out.max_metadata_bytes,
                   section.Integer("max_metadata_bytes", out.max_metadata_bytes,
                                   8 << 10, 16 << 20));
  ASSIGN_OR_RETURN(out.max_concurrent_streams,
                   section.Integer("max_concurrent_streams",
                                   out.max_concurrent_streams, 1, 1000000));
  ASSIGN_OR_RETURN(out.keepalive_time,
                   section.Duration("keepalive_time", out.keepalive_time,
                                    absl::Seconds(10), absl::Hours(24)));
  ASSIGN_OR_RETURN(out.keepalive_timeout,
                   section.Duration("keepalive_timeout", out.keepalive_timeout,
                                    absl::Seconds(1), absl::Hours(1)));
  ASSIGN_OR_RETURN(
      out.min_client_ping_interval,
      section.Duration("min_client_ping_interval", out.min_client_ping_interval,
                       absl::Seconds(1), absl::Hours(1)));
  out.remote_control = proto.remote_control();
  return out;
}

}  // namespace moe
