#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "proto/moe/v1/generation.grpc.pb.h"

namespace moe {

// The result of a client's last call.
struct CallEnd {
  grpc::Status status;
  absl::Time time;
};

// Clients that load a server: each sends one request after another on its own
// connection until one does not end OK.
class ClientLoad {
 public:
  // Waits until every client has had a first answer or token.
  ClientLoad(int port, int num_clients, const v1::GenerateRequest& request);
  ~ClientLoad();  // waits for the clients

  // How each client ended. Waits for them.
  std::vector<CallEnd> AwaitEnds();

 private:
  void Run(int port, const v1::GenerateRequest& request, CallEnd& end);

  std::atomic<int> num_served_ = 0;
  std::vector<CallEnd> ends_;
  std::vector<std::thread> threads_;
};

}  // namespace moe
