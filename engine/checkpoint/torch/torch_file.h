#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/partial_checksum.h"
#include "engine/checkpoint/torch/crc32_pieces.h"
#include "engine/checkpoint/torch/pickle_value.h"
#include "engine/config/index_range.h"

namespace moe {

// A file that torch.save wrote, in today's zip form or in the one of PyTorch
// before 1.6: the object as a description (nothing in it is executed) and its
// tensors as views into the mapped file. Opening reads the metadata only.
// Thread-safe after opening.
class TorchFile {
 public:
  // kNotFound if there is no such file, kDataLoss if it is damaged or not
  // PyTorch's, kResourceExhausted if its metadata is absurdly large.
  static absl::StatusOr<std::unique_ptr<TorchFile>> Open(
      const std::string& path);

  const std::string& path() const { return file_.path(); }
  size_t num_bytes() const { return file_.bytes().size(); }
  // The saved object.
  const PickleValue& root() const { return *root_; }

  // Tells that `tensor` (a kTensor below root()), called `name`, will be read.
  // A storage of which little is read is not worth its checksum. Not
  // thread-safe.
  void Announce(const PickleValue& tensor, absl::string_view name);

  // The values of `tensor`, row-major: a view into the file where it can be,
  // else a copy (strides, odd alignment, big endian). Checks the bounds and, on
  // the first use of a storage, its checksum, so that damage to the weights is
  // found. kDataLoss names the file, `name` and what is wrong.
  absl::StatusOr<HostWeight> Read(const PickleValue& tensor,
                                  absl::string_view name) const;

  // kDataLoss as Read would say of the bounds of a matrix or vector. Reads no
  // values.
  absl::Status CheckBounds(const PickleValue& tensor,
                           absl::string_view name) const;

  // As Read, of `rows` and, of a matrix, `columns` of a tensor that passed
  // CheckBounds, and no byte besides. The checksum is not compared; with `sum`
  // these bytes go into TakePartialChecksums.
  absl::StatusOr<HostWeight> ReadWindow(const PickleValue& tensor,
                                        absl::string_view name,
                                        const IndexRange& rows,
                                        const IndexRange& columns,
                                        bool sum) const;

  // Whether `tensor` equals `other_tensor` of `other` by what the files say of
  // them: same view of storages with the same checksum. Reads no values; false
  // where there are no checksums.
  bool EqualsByChecksum(const PickleValue& tensor, const TorchFile& other,
                        const PickleValue& other_tensor) const;

  // See Checkpoint; storages are numbered in the order of the file.
  std::vector<PartialChecksum> TakePartialChecksums() const;
  // `read_all`: read the storage if `merged` is not all of it.
  absl::Status CheckPartialChecksum(const PartialChecksum& merged,
                                    bool read_all) const;

  // Bytes of descriptions, tensors and checksummed storages read so far.
  int64_t bytes_read() const {
    return bytes_read_.load(std::memory_order_relaxed);
  }

 private:
  enum class Checksum : uint8_t { kUnknown, kGood, kBad };
  struct Storage {
    absl::string_view bytes;
    uint32_t crc = 0;  // 0: none
    size_t used_bytes = 0;
    std::string name;  // of the first tensor announced
    mutable std::atomic<Checksum> checksum{Checksum::kUnknown};
    // What ReadWindow read of it. Guarded by sums_mutex_.
    mutable std::optional<Crc32Pieces> pieces;
  };

  explicit TorchFile(MappedFile file) : file_(std::move(file)) {}
  absl::Status ParseZip();
  absl::Status ParseLegacy();
  absl::Status AddStorage(absl::string_view key, absl::string_view bytes,
                          uint32_t crc);
  absl::Status Damaged(absl::string_view name, absl::string_view what) const;
  absl::StatusOr<const Storage*> FindStorage(const PickleValue& tensor,
                                             absl::string_view name) const;
  // The bytes of the storage that `tensor` is a view of.
  static absl::string_view Elements(const Storage& storage,
                                    const PickleValue& tensor);
  // Whether it is worth its checksum.
  static bool IsChecked(const Storage& storage);
  absl::Status Verify(const Storage& storage, absl::string_view name) const;
  // As MappedFile::Prefetch, from the start of `from` on.
  void Prefetch(absl::string_view from, int64_t run_bytes, int64_t step_bytes,
                int64_t num_runs) const;
  void AddToChecksum(const Storage& storage, int64_t first_byte,
                     int64_t run_bytes, int64_t step_bytes,
                     int64_t num_runs) const;

  MappedFile file_;
  PickleArena arena_;
  const PickleValue* root_ = nullptr;
  bool big_endian_ = false;
  absl::flat_hash_map<absl::string_view, Storage*> storage_of_;
  std::deque<Storage> storages_;
  mutable std::mutex sums_mutex_;
  mutable std::atomic<int64_t> bytes_read_{0};
};

}  // namespace moe
