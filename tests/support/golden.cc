#include "tests/support/golden.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "nlohmann/json.hpp"

namespace moe {
namespace {

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "golden: %s\n", message.c_str());
  std::abort();
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail("cannot open " + path + "; is it in the test's data?");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::string TestDataPath(const std::string& workspace_path) {
  const char* root = std::getenv("TEST_SRCDIR");
  const char* workspace = std::getenv("TEST_WORKSPACE");
  if (root == nullptr || workspace == nullptr) return workspace_path;
  return std::string(root) + "/" + workspace + "/" + workspace_path;
}

std::string GoldenDirectory(const std::string& model) {
  return TestDataPath("tests/goldens/megatron_deepspeed/" + model);
}

Golden::Golden(const std::string& model) { Load(GoldenDirectory(model)); }

Golden Golden::At(const std::string& workspace_path) {
  Golden golden;
  golden.Load(TestDataPath(workspace_path));
  return golden;
}

void Golden::Load(const std::string& directory) {
  directory_ = directory;
  blob_ = ReadFile(directory_ + "/expected.bin");
  const nlohmann::json index =
      nlohmann::json::parse(ReadFile(directory_ + "/expected.json"), nullptr,
                            /*allow_exceptions=*/false);
  if (!index.is_object()) Fail(directory_ + "/expected.json is not an object");
  for (const auto& [name, entry] : index.items()) {
    arrays_[name] = {entry["dtype"].get<std::string>(),
                     entry["shape"].get<std::vector<int64_t>>(),
                     entry["offset"].get<int64_t>()};
  }
}

const Golden::Array& Golden::Find(const std::string& name,
                                  const std::string& dtype) const {
  const auto found = arrays_.find(name);
  if (found == arrays_.end()) Fail(directory_ + " has no array " + name);
  if (!dtype.empty() && found->second.dtype != dtype) {
    Fail(directory_ + ": " + name + " is " + found->second.dtype);
  }
  return found->second;
}

std::vector<int64_t> Golden::Shape(const std::string& name) const {
  return Find(name, "").shape;
}

template <typename T>
std::vector<T> Golden::Read(const std::string& name,
                            const std::string& dtype) const {
  const Array& array = Find(name, dtype);
  size_t count = 1;
  for (int64_t dim : array.shape) count *= static_cast<size_t>(dim);
  if (array.offset + count * sizeof(T) > blob_.size()) {
    Fail(directory_ + "/expected.bin is too short for " + name);
  }
  std::vector<T> values(count);
  std::memcpy(values.data(), blob_.data() + array.offset, count * sizeof(T));
  return values;
}

std::vector<float> Golden::Floats(const std::string& name) const {
  return Read<float>(name, "f32");
}

std::vector<int32_t> Golden::Ints(const std::string& name) const {
  return Read<int32_t>(name, "i32");
}

}  // namespace moe
