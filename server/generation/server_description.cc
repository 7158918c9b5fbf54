#include "server/generation/server_description.h"

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/runtime/engine.h"
#include "kernels/core/steady_clock.h"
#include "server/generation/rank_description.h"

namespace moe {

v1::ServerInfo DescribeServer(const InferenceCore& core,
                              const ServerIdentity& identity) {
  const ServedModel& model = core.model();
  const EngineOptions& options = model.engine->options();
  v1::ServerInfo info;
  info.set_version(identity.version);
  info.set_instance_id(identity.instance_id);
  const absl::Status ready = core.CheckReady();
  info.set_state(ready.ok()        ? v1::ServerInfo::SERVING
                 : core.draining() ? v1::ServerInfo::DRAINING
                                   : v1::ServerInfo::UNHEALTHY);
  info.set_state_message(std::string(ready.message()));
  info.set_start_time_unix_seconds(
      absl::ToDoubleSeconds(identity.start_time - absl::UnixEpoch()));
  info.set_uptime_seconds(
      absl::ToDoubleSeconds(SteadyNow() - identity.steady_start_time));
  info.add_models(model.name);
  info.set_isa(model.info.isa);
  info.set_threads(model.info.num_threads);
  info.set_weight_bytes(model.info.weight_bytes);
  info.set_kv_cache_bytes(model.info.kv_cache_bytes);
  info.set_kv_block_tokens(model.info.block_size);
  info.set_kv_blocks(model.info.num_blocks);
  info.set_max_step_tokens(options.max_step_tokens);
  info.set_max_running_sequences(options.max_running_sequences);
  info.set_max_waiting_requests(options.max_waiting_requests);
  info.set_load_seconds(absl::ToDoubleSeconds(model.info.load_time));
  info.set_world_size(model.ranks == nullptr ? 1 : model.ranks->size());
  *info.mutable_layout() = DescribeLayout(model);
  return info;
}

v1::Load DescribeLoad(const InferenceCore& core) {
  const EngineLoad load = core.model().engine->GetLoad();
  v1::Load out;
  out.set_running_sequences(load.running);
  out.set_waiting_requests(load.waiting);
  out.set_waiting_tokens(load.waiting_tokens);
  out.set_free_kv_blocks(load.free_blocks);
  out.set_total_kv_blocks(load.total_blocks);
  out.set_steps(load.steps);
  out.set_generated_tokens(load.generated_tokens);
  out.set_prompt_tokens(load.prompt_tokens);
  out.set_preemptions(load.preemptions);
  out.set_last_step_seconds(absl::ToDoubleSeconds(load.last_step_time));
  out.set_tokens_per_second(load.tokens_per_second);
  return out;
}

}  // namespace moe
