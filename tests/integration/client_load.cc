#include "tests/integration/client_load.h"

#include <grpcpp/create_channel.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace moe {
namespace {

// Longer than any call here, unless the server has lost it.
constexpr absl::Duration kCallTimeout = absl::Seconds(60);

}  // namespace

ClientLoad::ClientLoad(int port, int num_clients,
                       const v1::GenerateRequest& request)
    : ends_(num_clients) {
  for (int i = 0; i < num_clients; ++i) {
    threads_.emplace_back(
        [this, port, request, i] { Run(port, request, ends_[i]); });
  }
  const absl::Time deadline = absl::Now() + kCallTimeout;
  while (num_served_ < num_clients && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(1));
  }
}

ClientLoad::~ClientLoad() { AwaitEnds(); }

std::vector<CallEnd> ClientLoad::AwaitEnds() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  return ends_;
}

void ClientLoad::Run(int port, const v1::GenerateRequest& request,
                     CallEnd& end) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto stub = v1::Inference::NewStub(
      grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port),
                                grpc::InsecureChannelCredentials(), arguments));
  bool served = false;
  do {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kCallTimeout));
    const auto reader = stub->GenerateStream(&context, request);
    v1::GenerateChunk chunk;
    while (reader->Read(&chunk)) {
      if (!std::exchange(served, true)) ++num_served_;
    }
    end.status = reader->Finish();
    end.time = absl::Now();
  } while (end.status.ok());
  if (!served) ++num_served_;
}

}  // namespace moe
