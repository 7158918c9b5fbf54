#include "server/generation/sampling_converter.h"

#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace moe {
namespace {

uint64_t RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

void ReadLogitBias(const v1::Penalties& in, FieldChecks& checks,
                   SamplingParams& out) {
  // The protobuf map has no order; this one makes errors the same each time.
  const std::map<uint32_t, float> biases(in.logit_bias().begin(),
                                         in.logit_bias().end());
  for (const auto& [id, bias] : biases) {
    const std::string field = absl::StrCat("penalties.logit_bias[", id, "]");
    if (id >= checks.vocab_size()) {
      checks.Add(field, absl::StrFormat("token ids are below the "
                                        "vocabulary's size, %d",
                                        checks.vocab_size()));
      continue;
    }
    float value = 0;
    checks.ReadFloat(bias, field, -100, 100, value);
    out.logit_bias.emplace_back(static_cast<int32_t>(id), value);
  }
}

}  // namespace

void ReadSampling(const v1::Sampling& in, FieldChecks& checks,
                  SamplingParams& out) {
  if (in.has_temperature()) {
    checks.ReadFloat(in.temperature(), "sampling.temperature", 0, 100,
                     out.temperature);
  }
  if (in.has_top_p()) {
    checks.ReadPositive(in.top_p(), "sampling.top_p", 1, out.top_p);
  }
  if (in.has_top_k()) out.top_k = in.top_k();
  if (in.has_min_p()) {
    checks.ReadFloat(in.min_p(), "sampling.min_p", 0, 1, out.min_p);
  }
  out.seed = in.has_seed() ? in.seed() : RandomSeed();
}

void ReadPenalties(const v1::Penalties& in, FieldChecks& checks,
                   SamplingParams& out) {
  if (in.has_presence()) {
    checks.ReadFloat(in.presence(), "penalties.presence", -2, 2,
                     out.presence_penalty);
  }
  if (in.has_frequency()) {
    checks.ReadFloat(in.frequency(), "penalties.frequency", -2, 2,
                     out.frequency_penalty);
  }
  if (in.has_repetition()) {
    checks.ReadPositive(in.repetition(), "penalties.repetition",
                        std::numeric_limits<float>::max(),
                        out.repetition_penalty);
  }
  ReadLogitBias(in, checks, out);
  out.allowed_token_ids =
      checks.ReadIdSet(in.allowed_token_ids(), "penalties.allowed_token_ids");
  out.banned_token_ids =
      checks.ReadIdSet(in.banned_token_ids(), "penalties.banned_token_ids");
}

}  // namespace moe
