#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/partial_checksum.h"
#include "engine/checkpoint/tensor_file.h"
#include "engine/checkpoint/torch/pickle_value.h"
#include "engine/checkpoint/torch/torch_storage.h"
#include "engine/config/index_range.h"

namespace moe {

// A file of torch.save, in the zip format or the format of PyTorch before 1.6:
// the object as a description (nothing in it is executed) and its tensors as
// views into the mapped file. Opening reads the metadata only. Thread-safe
// after opening.
class TorchFile : public TensorFile {
 public:
  // kNotFound if there is no such file, kDataLoss if it is damaged or not
  // PyTorch's, kResourceExhausted if its metadata is absurdly large.
  static absl::StatusOr<std::unique_ptr<TorchFile>> Open(
      const std::string& path);

  // The saved object.
  const PickleValue& root() const { return *root_; }

  // Sets tensors() to the tensors below `state`, a dict below root() or root()
  // itself, with the names and errors of FlattenStateDict.
  absl::Status ListTensors(const PickleValue& state);

  const std::string& path() const override { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void Announce(size_t tensor, absl::string_view name) override;
  absl::StatusOr<HostWeight> Read(size_t tensor,
                                  absl::string_view name) const override;
  absl::Status CheckBounds(size_t tensor,
                           absl::string_view name) const override;
  absl::StatusOr<HostWeight> ReadWindow(size_t tensor, absl::string_view name,
                                        const IndexRange& rows,
                                        const IndexRange& columns,
                                        bool sum) const override;
  std::string Fingerprint(size_t tensor) const override;
  std::vector<PartialChecksum> TakePartialChecksums() const override;
  absl::Status CheckPartialChecksum(const PartialChecksum& merged,
                                    bool read_all) const override;
  int64_t bytes_read() const override {
    return bytes_read_.load(std::memory_order_relaxed);
  }

 private:
  explicit TorchFile(MappedFile file) : file_(std::move(file)) {}
  absl::Status ParseZip();
  absl::Status ParseLegacy();
  absl::Status AddStorage(absl::string_view key, absl::string_view bytes,
                          uint32_t crc);
  absl::Status Damaged(absl::string_view name, absl::string_view what) const;
  absl::StatusOr<TorchStorage*> FindStorage(const PickleValue& tensor,
                                            absl::string_view name) const;
  // The bytes of the storage that `tensor` is a view of.
  static absl::string_view Elements(const TorchStorage& storage,
                                    const PickleValue& tensor);
  absl::Status Verify(const TorchStorage& storage,
                      absl::string_view name) const;
  // MappedFile::Prefetch, relative to the start of `from`.
  void Prefetch(absl::string_view from, int64_t run_bytes, int64_t step_bytes,
                int64_t num_runs) const;

  MappedFile file_;
  PickleArena arena_;
  const PickleValue* root_ = nullptr;
  std::vector<TensorInfo> infos_;
  std::vector<const PickleValue*> values_;  // kTensor, of each of `infos_`
  bool big_endian_ = false;
  absl::flat_hash_map<absl::string_view, TorchStorage*> storage_of_;
  std::deque<TorchStorage> storages_;
  mutable std::atomic<int64_t> bytes_read_{0};
};

}  // namespace moe
