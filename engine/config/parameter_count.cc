#include "engine/config/parameter_count.h"

#include "engine/config/weight_inventory.h"

namespace moe {

ParameterCount CountParameters(const ModelConfig& config) {
  ParameterCount count;
  WeightInventory(config).ForEach([&](const WeightSpec& weight,
                                      int64_t num_experts) {
    const int64_t elements = weight.num_elements();
    count.total += num_experts * elements;
    count.active += weight.expert < 0
                        ? elements
                        : config.layers[weight.layer].moe().top_k * elements;
  });
  return count;
}

double EstimateParameters(const ModelConfig& config) {
  double total = 0;
  WeightInventory(config).ForEach(
      [&](const WeightSpec& weight, int64_t num_experts) {
        double elements = static_cast<double>(num_experts);
        for (const int64_t dim : weight.dims) {
          elements *= static_cast<double>(dim);
        }
        total += elements;
      });
  return total;
}

}  // namespace moe
