#include "tools/checkpoint/inspect_command.h"

#include <cmath>
#include <map>
#include <ostream>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/config/model_config_names.h"
#include "engine/config/parameter_count.h"
#include "engine/config/weight_inventory.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

std::string Millions(int64_t count) {
  return absl::StrFormat("%.2f M", static_cast<double>(count) / 1e6);
}

std::string Mebibytes(uint64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / 1048576.0);
}

void PrintConfig(const ModelConfig& c, std::ostream& out) {
  const auto per_layer = [&](auto number) { return PerLayerText(c, number); };
  using Layer = const LayerConfig&;
  const LayerConfig& first = c.layers[0];
  out << "family           " << c.family << "\n"
      << "layers           " << c.num_layers() << "\n"
      << "hidden           " << c.hidden_size << "\n"
      << "heads            "
      << per_layer([](Layer l) { return l.attention.num_heads; }) << " of "
      << per_layer([](Layer l) { return l.attention.head_dim; }) << ", "
      << per_layer([](Layer l) { return l.attention.num_kv_heads; })
      << " for keys and values\n"
      << "feed-forward     "
      << per_layer([](Layer l) { return l.any_mlp().ffn_hidden_size; }) << ", "
      << ActivationName(first.any_mlp().activation)
      << (first.any_mlp().has_bias ? "" : ", no biases") << "\n"
      << "vocabulary       " << c.vocab_size << ", padded to "
      << c.padded_vocab_size << (c.tied_embeddings ? ", tied" : ", untied head")
      << "\n"
      << "positions        " << c.max_positions << ", ";
  if (const auto& rope = first.attention.rope; rope.has_value()) {
    out << "rotary over " << rope->rotary_dim << " channels, theta "
        << rope->theta << (rope->double_cos_quirk ? ", 2025 quirk" : "");
  } else {
    out << "learned";
  }
  out << "\nnorm             "
      << (c.final_norm.kind == NormKind::kRmsNorm ? "RMSNorm" : "LayerNorm")
      << ", epsilon " << c.final_norm.epsilon
      << (c.final_norm.weight_plus_one ? ", weight + 1" : "") << "\n";
  if (c.family == "gpt") return;
  out << "experts          [" << absl::StrJoin(c.experts_per_layer(), ", ")
      << "] by layer, top " << c.max_top_k() << "\n"
      << "residual MoE     " << ResidualMoeName(c.residual_moe()) << "\n";
}

// Weights of one shape whose names differ only in layer and expert.
struct Group {
  std::string first;  // name of one of them
  int64_t tensors = 0;
  int64_t elements = 0;  // of all
};

uint64_t NumBytes(const TensorView& view) {
  return static_cast<uint64_t>(view.num_elements()) * SizeOf(view.dtype);
}

struct Statistics {
  int64_t nans = 0;
  int64_t infinities = 0;
  float largest = 0;
};

template <typename T, typename ToFloat>
void Scan(const TensorView& view, ToFloat to_float, Statistics* statistics) {
  const T* values = view.ptr<T>();
  const int64_t count = view.num_elements();
  for (int64_t i = 0; i < count; ++i) {
    const float value = to_float(values[i]);
    if (std::isnan(value)) {
      ++statistics->nans;
    } else if (std::isinf(value)) {
      ++statistics->infinities;
    } else {
      statistics->largest = std::max(statistics->largest, std::abs(value));
    }
  }
}

}  // namespace

absl::Status InspectCheckpoint(const Checkpoint& checkpoint, bool all,
                               std::ostream& out) {
  const ModelConfig& config = checkpoint.config();
  out << checkpoint.Description() << "\n";
  PrintConfig(config, out);
  const ParameterCount count = CountParameters(config);
  out << "parameters       " << Millions(count.total) << ", a token passes "
      << Millions(count.active) << "\n\n";
  static const std::regex number("\\.[0-9]+\\.");
  std::map<std::string, Group> groups;
  for (const WeightSpec& spec : WeightInventory(config).All()) {
    if (!checkpoint.Has(spec.name)) continue;
    const std::string name =
        all ? spec.name : std::regex_replace(spec.name, number, ".*.");
    Group& group =
        groups[absl::StrCat(name, " [", absl::StrJoin(spec.dims, ", "), "]")];
    if (group.tensors++ == 0) group.first = spec.name;
    int64_t elements = 1;
    for (int64_t dim : spec.dims) elements *= dim;
    group.elements += elements;
  }
  uint64_t bytes = 0;
  for (const auto& [name, group] : groups) {
    // Read one of each kind for its dtype, since reading all would take long.
    ASSIGN_OR_RETURN(const HostWeight weight, checkpoint.Get(group.first));
    const DType dtype = weight.view.dtype;
    const uint64_t group_bytes =
        static_cast<uint64_t>(group.elements) * SizeOf(dtype);
    out << absl::StrFormat("%6d x %-60s %-4s %12s\n", group.tensors, name,
                           DTypeName(dtype), Mebibytes(group_bytes));
    bytes += group_bytes;
  }
  out << "total " << Mebibytes(bytes) << "\n";
  for (const std::string& warning : checkpoint.warnings()) {
    out << "warning: " << warning << "\n";
  }
  return absl::OkStatus();
}

absl::Status VerifyCheckpoint(const Checkpoint& checkpoint, std::ostream& out) {
  Statistics statistics;
  int64_t tensors = 0;
  uint64_t bytes = 0;
  for (const WeightSpec& spec : WeightInventory(checkpoint.config()).All()) {
    if (!checkpoint.Has(spec.name)) continue;
    ASSIGN_OR_RETURN(const HostWeight weight, checkpoint.Get(spec.name));
    const Statistics before = statistics;
    switch (weight.view.dtype) {
      case DType::kF16:
        Scan<uint16_t>(weight.view, HalfToFloat, &statistics);
        break;
      case DType::kBf16:
        Scan<uint16_t>(weight.view, Bf16ToFloat, &statistics);
        break;
      default:
        Scan<float>(
            weight.view, [](float value) { return value; }, &statistics);
    }
    if (statistics.nans + statistics.infinities >
        before.nans + before.infinities) {
      out << spec.name << ": " << statistics.nans - before.nans << " NaN, "
          << statistics.infinities - before.infinities << " infinite values\n";
    }
    ++tensors;
    bytes += NumBytes(weight.view);
  }
  out << absl::StrFormat(
      "%d tensors, %s, %d NaN, %d infinite, largest magnitude %g\n", tensors,
      Mebibytes(bytes), statistics.nans, statistics.infinities,
      statistics.largest);
  if (statistics.nans + statistics.infinities > 0) {
    return absl::DataLossError("some weights are not finite");
  }
  return absl::OkStatus();
}

}  // namespace moe
