#include "tests/server/text/tokenizer_cases.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "nlohmann/json.hpp"
#include "server/text/load_tokenizer.h"

namespace moe {
namespace {

constexpr char kDirectory[] = "tests/goldens/tokenizer/";

}  // namespace

std::vector<std::string> GoldenTokenizerNames() {
  return {"gpt2",          "small",     "llama3_like", "qwen2_like",
          "deepseek_like", "behaviors", "added_tokens"};
}

TokenizerGoldens LoadTokenizerGoldens(const std::string& name) {
  const std::string path = kDirectory + name + "_cases.json";
  std::ifstream file(path);
  const nlohmann::json json = nlohmann::json::parse(file);
  TokenizerGoldens goldens;
  for (const auto& entry : json.at("cases")) {
    TokenizerCase golden;
    golden.text = entry.at("text");
    golden.ids = entry.at("ids").get<std::vector<int32_t>>();
    golden.ids_with_special =
        entry.contains("ids_with_special")
            ? entry.at("ids_with_special").get<std::vector<int32_t>>()
            : golden.ids;
    golden.has_offsets = entry.contains("offsets");
    if (golden.has_offsets) {
      const auto flat = entry.at("offsets").get<std::vector<int64_t>>();
      for (size_t i = 0; i < flat.size(); i += 2) {
        golden.offsets.push_back({flat[i], flat[i + 1]});
      }
    }
    goldens.cases.push_back(std::move(golden));
  }
  for (const auto& entry : json.at("decodings")) {
    goldens.decodings.push_back({entry.at("ids").get<std::vector<int32_t>>(),
                                 entry.at("text"),
                                 entry.at("text_without_special")});
  }
  return goldens;
}

std::unique_ptr<Tokenizer> LoadGoldenTokenizer(const std::string& name) {
  auto tokenizer =
      LoadTokenizer(kDirectory + name + (name == "gpt2" ? "" : ".json"));
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
    std::abort();
  }
  return *std::move(tokenizer);
}

}  // namespace moe
