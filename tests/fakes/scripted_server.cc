#include "tests/fakes/scripted_server.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <condition_variable>
#include <thread>

#include "proto/rpc/error_details.pb.h"

namespace moe {
namespace {

constexpr std::chrono::seconds kWaitTimeout(20);

void Attach(const char* type, const google::protobuf::Message& message,
            rpc::Status* details) {
  rpc::Any* detail = details->add_details();
  detail->set_type_url(std::string("type.googleapis.com/google.rpc.") + type);
  detail->set_value(message.SerializeAsString());
}

grpc::Status Bad() {
  rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("sampling.top_p");
  violation->set_description("is 7; the range is (0, 1]");
  violation = bad.add_field_violations();
  violation->set_field("sampling.n");
  violation->set_description("is 0; the range is [1, 16]");
  rpc::Status details;
  Attach("BadRequest", bad, &details);
  return {grpc::StatusCode::INVALID_ARGUMENT, "two fields are wrong",
          details.SerializeAsString()};
}

grpc::Status Busy() {
  rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  rpc::Status details;
  Attach("RetryInfo", retry, &details);
  return {grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full",
          details.SerializeAsString()};
}

// With logprobs if `request` asks for them.
void AddTokens(const v1::GenerateRequest& request, int count,
               v1::GenerateChunk* chunk) {
  for (int i = 0; i < count; ++i) {
    v1::Token& token = *chunk->add_tokens();
    token.set_id(10 + i);
    if (!request.output().has_logprobs()) continue;
    token.set_logprob(-0.5);
    token.set_rank(2);
    token.set_bytes(" \xC3");
    v1::TokenLogprob& top = *token.add_top();
    top.set_token_id(9);
    top.set_logprob(-0.25);
    top.set_bytes("\n");
  }
}

}  // namespace

class ScriptedServer::InferenceService final : public v1::Inference::Service {
 public:
  grpc::Status GenerateStream(
      grpc::ServerContext* context, const v1::GenerateRequest* request,
      grpc::ServerWriter<v1::GenerateChunk>* writer) override {
    Record(*request);
    if (request->text() == "bad") return Bad();
    if (request->text() == "busy") return Busy();
    v1::GenerateChunk first;
    first.set_request_id("scripted");
    first.mutable_prompt()->set_num_tokens(3);
    writer->Write(first);
    if (request->text() == "endless") return Endless(*context, *writer);
    const uint32_t answers =
        request->sampling().has_n() ? request->sampling().n() : 1;
    for (uint32_t index = 0; index < answers; ++index) {
      v1::GenerateChunk chunk;
      chunk.set_index(index);
      chunk.set_text("One,");
      AddTokens(*request, 1, &chunk);
      writer->Write(chunk);
      if (request->text() == "broken") {
        return {grpc::StatusCode::UNAVAILABLE, "the engine has stopped"};
      }
      chunk.clear_text();  // a token whose text is held back
      writer->Write(chunk);
      chunk.set_text(" two.");
      AddTokens(*request, 1, &chunk);
      chunk.mutable_finish()->set_reason(v1::Finish::STOP);
      chunk.mutable_finish()->set_eos_token_id(0);
      chunk.mutable_finish()->mutable_usage()->set_completion_tokens(4);
      writer->Write(chunk);
    }
    return grpc::Status::OK;
  }

  grpc::Status Generate(grpc::ServerContext*,
                        const v1::GenerateRequest* request,
                        v1::GenerateResponse* response) override {
    Record(*request);
    response->mutable_prompt()->set_num_tokens(3);
    v1::Answer* answer = response->add_answers();
    answer->set_text("All at once.");
    answer->add_tokens()->set_id(5);
    answer->mutable_finish()->set_reason(v1::Finish::LENGTH);
    return grpc::Status::OK;
  }

  grpc::Status Tokenize(grpc::ServerContext*,
                        const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    response->set_dropped_bytes(request->has_parse_special_tokens() ? 7 : 0);
    for (const char c : request->text()) {
      response->add_token_ids(static_cast<uint8_t>(c));
      response->add_tokens(std::string(1, c));
    }
    return grpc::Status::OK;
  }

  grpc::Status Detokenize(grpc::ServerContext*,
                          const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    std::string text;
    for (const uint32_t id : request->token_ids()) {
      text.push_back(static_cast<char>(id));
    }
    response->set_text(text);
    return grpc::Status::OK;
  }

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    v1::Model* model = response->add_models();
    model->set_name("scripted");
    model->set_family("pr_moe");
    for (const uint32_t experts : {0, 4, 0, 8}) {
      model->add_experts_per_layer(experts);
    }
    return grpc::Status::OK;
  }

  v1::GenerateRequest last() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }
  bool WaitForChunk() const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kWaitTimeout, [this] { return sent_; });
  }
  bool WaitForCancel() const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kWaitTimeout, [this] { return cancelled_; });
  }

 private:
  void Record(const v1::GenerateRequest& request) {
    const std::lock_guard lock(mutex_);
    last_ = request;
  }

  grpc::Status Endless(grpc::ServerContext& context,
                       grpc::ServerWriter<v1::GenerateChunk>& writer) {
    v1::GenerateChunk chunk;
    chunk.set_text("more ");
    AddTokens({}, 1, &chunk);
    const auto deadline = std::chrono::steady_clock::now() + kWaitTimeout;
    while (!context.IsCancelled() && writer.Write(chunk) &&
           std::chrono::steady_clock::now() < deadline) {
      {
        const std::lock_guard lock(mutex_);
        sent_ = true;
        changed_.notify_all();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const std::lock_guard lock(mutex_);
    cancelled_ = context.IsCancelled();
    changed_.notify_all();
    return grpc::Status::CANCELLED;
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  v1::GenerateRequest last_;
  bool sent_ = false;
  bool cancelled_ = false;
};

class ScriptedServer::ControlService final : public v1::Control::Service {
 public:
  grpc::Status GetServerInfo(grpc::ServerContext*,
                             const v1::GetServerInfoRequest*,
                             v1::ServerInfo* info) override {
    info->set_version("scripted");
    return grpc::Status::OK;
  }
  grpc::Status GetLoad(grpc::ServerContext*, const v1::GetLoadRequest*,
                       v1::Load* load) override {
    load->set_running_sequences(17);
    return grpc::Status::OK;
  }
  grpc::Status GetRanks(grpc::ServerContext*, const v1::GetRanksRequest*,
                        v1::GetRanksResponse* response) override {
    for (uint32_t r = 0; r < 2; ++r) {
      v1::Rank& rank = *response->add_ranks();
      rank.set_rank(r);
      rank.set_node(r);
      rank.set_host(r == 0 ? "alpha" : "beta");
      rank.set_pid(100 + r);
      rank.set_state(v1::Rank::IN_STEP);
      if (r == 1) rank.set_last_step(41);
      rank.set_weight_bytes(3 << 20);
      rank.set_threads(2);
      rank.set_isa("AVX3");
    }
    return grpc::Status::OK;
  }
  grpc::Status GetExpertLoad(grpc::ServerContext*,
                             const v1::GetExpertLoadRequest*,
                             v1::ExpertLoad* load) override {
    v1::MoeLayerLoad& layer = *load->add_layers();
    layer.set_layer(3);
    layer.set_expert_imbalance(1.5);
    layer.add_tokens_by_expert(30);
    layer.add_tokens_by_expert(10);
    v1::MoeLayerLoad::Exchange& exchange = *layer.add_exchanges();
    exchange.set_kind("flat");
    exchange.set_steps(7);
    return grpc::Status::OK;
  }
  grpc::Status Abort(grpc::ServerContext*, const v1::AbortRequest* request,
                     v1::AbortResponse* response) override {
    const std::lock_guard lock(mutex_);
    last_abort_ = *request;
    response->set_aborted(request->request_ids_size());
    return grpc::Status::OK;
  }
  grpc::Status Drain(grpc::ServerContext*, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override {
    response->set_idle(request->wait_seconds() == 3);
    return grpc::Status::OK;
  }

  v1::AbortRequest last_abort() const {
    const std::lock_guard lock(mutex_);
    return last_abort_;
  }

 private:
  mutable std::mutex mutex_;
  v1::AbortRequest last_abort_;
};

ScriptedServer::ScriptedServer()
    : inference_(std::make_unique<InferenceService>()),
      control_(std::make_unique<ControlService>()) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(inference_.get());
  builder.RegisterService(control_.get());
  server_ = builder.BuildAndStart();
}

ScriptedServer::~ScriptedServer() { server_->Shutdown(); }

v1::GenerateRequest ScriptedServer::last_generate() const {
  return inference_->last();
}
v1::AbortRequest ScriptedServer::last_abort() const {
  return control_->last_abort();
}
bool ScriptedServer::WaitForChunk() const { return inference_->WaitForChunk(); }
bool ScriptedServer::WaitForCancel() const {
  return inference_->WaitForCancel();
}

}  // namespace moe
