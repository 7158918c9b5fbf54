#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/host_weight.h"
#include "engine/checkpoint/partial_checksum.h"
#include "engine/config/index_range.h"
#include "kernels/core/dtype.h"

namespace moe {

// What a file says of one of its tensors.
struct TensorInfo {
  std::string name;  // in the file
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
};

// A file of named tensors, of any container format. Knows nothing of models:
// which weights its tensors are, and which of their rows belong together, is
// for those who read it. Tensors are told by their index in tensors(); `name`
// is what messages call one. Thread-safe, but for Announce.
class TensorFile {
 public:
  virtual ~TensorFile() = default;

  virtual const std::string& path() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;

  // Tells that a tensor will be read. A storage of which little is read is not
  // worth its checksum. Before any is read.
  virtual void Announce(size_t tensor, absl::string_view name) = 0;

  // The values, row-major: a view into the file where it can be, else a copy.
  // Checks the bounds and, on the first use of a storage, its checksum, so that
  // damage to the weights is found. kDataLoss names the file, `name` and what
  // is wrong.
  virtual absl::StatusOr<HostWeight> Read(size_t tensor,
                                          absl::string_view name) const = 0;

  // kDataLoss as Read would say of the bounds of a matrix or vector. Reads no
  // values.
  virtual absl::Status CheckBounds(size_t tensor,
                                   absl::string_view name) const = 0;

  // As Read, of `rows` and, of a matrix, `columns` of a tensor that passed
  // CheckBounds, and no byte besides. The checksum is not compared; with `sum`
  // these bytes go into TakePartialChecksums.
  virtual absl::StatusOr<HostWeight> ReadWindow(size_t tensor,
                                                absl::string_view name,
                                                const IndexRange& rows,
                                                const IndexRange& columns,
                                                bool sum) const = 0;

  // What the file says of a tensor's values: tensors of equal, not empty
  // fingerprints have equal values unless a file is damaged. Reads no values;
  // "" where there are no checksums.
  virtual std::string Fingerprint(size_t tensor) const = 0;

  // See Checkpoint; storages are numbered in the order of the file.
  virtual std::vector<PartialChecksum> TakePartialChecksums() const = 0;
  // `read_all`: read the storage if `merged` is not all of it.
  virtual absl::Status CheckPartialChecksum(const PartialChecksum& merged,
                                            bool read_all) const = 0;

  // Bytes of descriptions, tensors and checksummed storages read so far.
  virtual int64_t bytes_read() const = 0;
};

}  // namespace moe
