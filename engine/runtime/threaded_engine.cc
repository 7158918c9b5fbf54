#include "engine/runtime/threaded_engine.h"

#include <pthread.h>

#include <thread>
#include <utility>

#include "engine/runtime/engine_core.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// The engine's thread and its core. The thread shares ownership of the core,
// since it uses it when an abandoned step returns.
class ThreadedEngine : public Engine {
 public:
  explicit ThreadedEngine(std::shared_ptr<EngineCore> core)
      : core_(std::move(core)) {
    thread_ = std::thread([core = core_] {
      pthread_setname_np(pthread_self(), "moe-engine");
      core->Run();
    });
  }

  ~ThreadedEngine() override {
    if (core_->Stop(absl::UnavailableError("the engine has been shut down"))) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

  const ModelConfig& model_config() const override {
    return core_->model_config();
  }
  const EngineOptions& options() const override { return core_->options(); }

  absl::Status Submit(Request request,
                      std::shared_ptr<RequestObserver> observer) override {
    return core_->Submit(std::move(request), std::move(observer));
  }
  void Cancel(const std::string& request_id) override {
    core_->Cancel(request_id, std::nullopt);
  }
  void CancelAnswer(const std::string& request_id, int32_t index) override {
    core_->Cancel(request_id, index);
  }
  EngineLoad GetLoad() const override { return core_->GetLoad(); }
  absl::Status CheckHealth() const override { return core_->CheckHealth(); }
  void StartDrain() override { core_->SetDraining(true); }
  void Resume() override { core_->SetDraining(false); }
  bool WaitIdle(absl::Duration timeout) override {
    return core_->WaitIdle(timeout);
  }
  void Shutdown(const absl::Status& status) override { core_->Stop(status); }

 private:
  std::shared_ptr<EngineCore> core_;  // shared with thread_
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(
    EngineParts parts, const EngineOptions& options) {
  ASSIGN_OR_RETURN(std::shared_ptr<EngineCore> core,
                   EngineCore::Create(std::move(parts), options));
  return std::unique_ptr<Engine>(new ThreadedEngine(std::move(core)));
}

}  // namespace moe
