#include "server/generation/model_description.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "engine/config/model_config_names.h"
#include "engine/runtime/engine.h"
#include "server/generation/effective_limits.h"

namespace moe {
namespace {

void DescribeDefaults(const SamplingParams& params, v1::Model::Defaults& out) {
  v1::Sampling& sampling = *out.mutable_sampling();
  sampling.set_temperature(params.temperature);
  sampling.set_top_p(params.top_p);
  sampling.set_top_k(params.top_k);
  sampling.set_min_p(params.min_p);
  sampling.set_n(1);
  v1::Penalties& penalties = *out.mutable_penalties();
  penalties.set_presence(params.presence_penalty);
  penalties.set_frequency(params.frequency_penalty);
  penalties.set_repetition(params.repetition_penalty);
}

// The largest `number` (LayerConfig -> int64_t) of all layers.
template <typename Number>
int64_t MaxPerLayer(const ModelConfig& config, Number number) {
  int64_t most = 0;
  for (const LayerConfig& layer : config.layers) {
    most = std::max(most, number(layer));
  }
  return most;
}

}  // namespace

v1::Model DescribeModel(const ServedModel& model) {
  const ModelConfig& config = model.info.model;
  v1::Model out;
  out.set_name(model.name);
  out.set_family(config.family);
  out.set_has_tokenizer(model.tokenizer != nullptr);
  out.set_vocab_size(config.vocab_size);
  out.set_max_positions(MaxSequenceTokens(*model.engine));
  out.set_num_layers(config.num_layers());
  out.set_hidden_size(config.hidden_size);
  out.set_num_heads(MaxPerLayer(config, [](const LayerConfig& layer) {
    return layer.attention.num_heads;
  }));
  out.set_num_kv_heads(MaxPerLayer(config, [](const LayerConfig& layer) {
    return layer.attention.num_kv_heads;
  }));
  for (const int64_t experts : config.experts_per_layer()) {
    out.add_experts_per_layer(experts);
  }
  out.set_experts_per_token(config.max_top_k());
  out.set_residual_moe(ResidualMoeName(config.residual_moe()));
  out.set_parameters(model.info.parameters.total);
  out.set_active_parameters(model.info.parameters.active);
  const absl::string_view dtype = DTypeName(model.info.weight_dtype);
  out.set_weight_dtype(std::string(dtype));
  const auto& eos = model.engine->options().eos_token_ids;
  out.mutable_eos_token_ids()->Add(eos.begin(), eos.end());
  DescribeDefaults(model.defaults, *out.mutable_defaults());
  const RequestLimits limits = EffectiveLimits(model);
  v1::Model::Limits& out_limits = *out.mutable_limits();
  out_limits.set_max_answers(limits.max_answers);
  out_limits.set_max_logprobs(limits.max_logprobs);
  out_limits.set_max_stop_strings(limits.max_stop_strings);
  out_limits.set_max_stop_string_bytes(limits.max_stop_string_bytes);
  return out;
}

}  // namespace moe
