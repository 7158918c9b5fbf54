#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace moe {

// The path of a file of the workspace that the test lists in its data, for
// example TestDataPath("tests/goldens/megatron_deepspeed/prmoe_head").
std::string TestDataPath(const std::string& workspace_path);

// The checkpoint directory of a model of tests/goldens/megatron_deepspeed.
std::string GoldenDirectory(const std::string& model);

// Named arrays of expected values (see the README of the goldens): reads
// expected.json and expected.bin of a directory. Terminates the test with a
// message where the files or an array are missing, as nothing can be tested
// then. Immutable.
class Golden {
 public:
  // Of a directory of the workspace's tests/goldens/megatron_deepspeed.
  explicit Golden(const std::string& model);
  // Of any directory of the workspace.
  static Golden At(const std::string& workspace_path);

  bool Has(const std::string& name) const { return arrays_.count(name) > 0; }
  std::vector<int64_t> Shape(const std::string& name) const;
  // Row-major values of an f32 array.
  std::vector<float> Floats(const std::string& name) const;
  // Row-major values of an i32 array.
  std::vector<int32_t> Ints(const std::string& name) const;

 private:
  Golden() = default;
  void Load(const std::string& directory);

  struct Array {
    std::string dtype;
    std::vector<int64_t> shape;
    int64_t offset = 0;
  };
  const Array& Find(const std::string& name, const std::string& dtype) const;
  template <typename T>
  std::vector<T> Read(const std::string& name, const std::string& dtype) const;

  std::string directory_;
  std::string blob_;
  std::map<std::string, Array> arrays_;
};

}  // namespace moe
