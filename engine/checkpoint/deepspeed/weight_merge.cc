#include "engine/checkpoint/deepspeed/weight_merge.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/config/index_range.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// A block of consecutive rows and columns of one part, and its position in the
// result.
struct Piece {
  size_t part = 0;
  IndexRange rows;     // of the part
  IndexRange columns;  // of the part
  int64_t to_row = 0;
  int64_t to_column = 0;
};

// A slice with explicit ranges.
struct Window {
  std::vector<IndexRange> rows;
  IndexRange columns;
  int64_t num_rows = 0;
};

absl::StatusOr<Window> WindowOf(const WeightSource& source,
                                const std::string& name,
                                const WeightSlice& slice) {
  Window window;
  const int64_t rows = source.dims[0];
  const int64_t columns = source.dims.size() == 2 ? source.dims[1] : 1;
  window.rows = slice.rows;
  if (window.rows.empty()) window.rows.push_back({0, rows});
  window.columns = slice.columns.value_or(IndexRange{0, columns});
  std::vector<IndexRange> all = window.rows;
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  int64_t end = 0;
  for (const IndexRange& range : all) {
    if (range.begin < end || range.end < range.begin || range.end > rows) {
      return absl::InvalidArgumentError(absl::StrCat(
          "weight ", name, " of ", rows, " rows: the slice of rows [",
          range.begin, ", ", range.end, ") leaves it or overlaps another"));
    }
    end = range.end;
    window.num_rows += range.size();
  }
  if (window.columns.begin < 0 || window.columns.size() < 0 ||
      window.columns.end > columns) {
    return absl::InvalidArgumentError(absl::StrCat(
        "weight ", name, " of ", columns, " columns: the slice of columns [",
        window.columns.begin, ", ", window.columns.end, ") leaves it"));
  }
  return window;
}

int64_t NumColumns(const WeightPart& part) {
  return part.info().dims.size() == 2 ? part.info().dims[1] : 1;
}

// The pieces of `window`, by part, rows ascending.
std::vector<Piece> PiecesOf(const WeightSource& source, const FusedRows& fused,
                            const Window& window) {
  // The position of each row of the weight in the result; -1: not included.
  std::vector<int64_t> row_to(static_cast<size_t>(source.dims[0]), -1);
  int64_t next = 0;
  for (const IndexRange& range : window.rows) {
    for (int64_t r = range.begin; r < range.end; ++r) row_to[r] = next++;
  }
  std::vector<Piece> pieces;
  for (size_t p = 0; p < source.parts.size(); ++p) {
    const WeightPart& part = source.parts[p];
    const int64_t width = NumColumns(part);
    const int64_t first_column =
        part.split == WeightSplit::kColumns ? part.rank * width : 0;
    Piece piece;
    piece.part = p;
    const int64_t begin = std::max(window.columns.begin, first_column);
    const int64_t end = std::min(window.columns.end, first_column + width);
    if (begin >= end) continue;
    piece.columns = {begin - first_column, end - first_column};
    piece.to_column = begin - window.columns.begin;
    const std::vector<int64_t> targets =
        TargetRows(part, part.info().dims[0], source.ranks, fused);
    for (size_t r = 0; r < targets.size(); ++r) {
      const int64_t to = row_to[targets[r]];
      if (to < 0) continue;
      const auto row = static_cast<int64_t>(r);
      if (piece.rows.size() > 0 && piece.rows.end == row &&
          piece.to_row + piece.rows.size() == to) {
        ++piece.rows.end;
        continue;
      }
      if (piece.rows.size() > 0) pieces.push_back(piece);
      piece.rows = {row, row + 1};
      piece.to_row = to;
    }
    if (piece.rows.size() > 0) pieces.push_back(piece);
  }
  return pieces;
}

// `from` is row-major and contiguous.
void CopyPiece(const char* from, size_t row_bytes, const Piece& piece,
               const TensorView& to) {
  const size_t size = SizeOf(to.dtype);
  const size_t to_bytes =
      static_cast<size_t>(to.rank == 2 ? to.dims[1] : 1) * size;
  char* out = to.ptr<char>() + static_cast<size_t>(piece.to_row) * to_bytes +
              static_cast<size_t>(piece.to_column) * size;
  if (row_bytes == to_bytes) {
    std::memcpy(out, from, row_bytes * static_cast<size_t>(piece.rows.size()));
    return;
  }
  for (int64_t r = 0; r < piece.rows.size(); ++r) {
    std::memcpy(out, from, row_bytes);
    from += row_bytes;
    out += to_bytes;
  }
}

}  // namespace

std::vector<int64_t> TargetRows(const WeightPart& part, int64_t part_rows,
                                int64_t ranks, const FusedRows& fused) {
  std::vector<int64_t> rows(static_cast<size_t>(part_rows));
  const auto fill = [&](auto target) {
    for (int64_t r = 0; r < part_rows; ++r) rows[r] = target(r);
  };
  const int64_t begin = part.rank * part_rows;
  switch (part.split) {
    case WeightSplit::kReplicated:
    case WeightSplit::kColumns:
      fill([](int64_t r) { return r; });
      break;
    case WeightSplit::kRows:
    case WeightSplit::kQuery:
      fill([&](int64_t r) { return begin + r; });
      break;
    case WeightSplit::kUp: {
      if (!fused.gated_mlp) {
        fill([&](int64_t r) { return begin + r; });
        break;
      }
      const int64_t half = part_rows / 2;  // its gate rows, then its up rows
      fill([&](int64_t r) {
        return r < half ? part.rank * half + r
                        : (ranks + part.rank) * half + (r - half);
      });
      break;
    }
    case WeightSplit::kQkv:
      rows = QkvTargetRows(fused.qkv_layout, fused.num_heads / ranks,
                           fused.num_kv_heads / ranks, fused.head_dim,
                           part.rank, ranks);
      break;
    case WeightSplit::kKeyValue: {
      // Per key/value head: k, then v.
      const int64_t d = fused.head_dim;
      const int64_t keys = fused.num_kv_heads * d;
      const int64_t key_begin =
          fused.num_heads * d + part.rank * (keys / ranks);
      fill([&](int64_t r) {
        const int64_t head = r / (2 * d), within = r % (2 * d);
        return key_begin + head * d + within % d + (within < d ? 0 : keys);
      });
      break;
    }
  }
  return rows;
}

absl::StatusOr<HostWeight> ReadWeight(const WeightSource& source,
                                      const FusedRows& fused,
                                      const std::string& name,
                                      const WeightSlice& slice, bool sum) {
  ASSIGN_OR_RETURN(const Window window, WindowOf(source, name, slice));
  // Check the parts first, so that memory is allocated only for shapes whose
  // elements are in the files.
  const bool whole = slice.whole();
  std::vector<HostWeight> parts;
  for (const WeightPart& part : source.parts) {
    if (!whole) {
      RETURN_IF_ERROR(part.file->CheckBounds(part.tensor, name));
      continue;
    }
    ASSIGN_OR_RETURN(HostWeight weight, part.file->Read(part.tensor, name));
    parts.push_back(std::move(weight));
  }
  const std::vector<Piece> pieces = PiecesOf(source, fused, window);
  const bool one = pieces.size() == 1 &&
                   pieces[0].rows.size() == window.num_rows &&
                   pieces[0].columns.size() == window.columns.size();
  if (one && whole) return std::move(parts[0]);

  HostWeight result;
  const auto allocate = [&]() -> absl::Status {
    const int64_t dims[] = {window.num_rows, window.columns.size()};
    ASSIGN_OR_RETURN(
        result.owned,
        Tensor::Allocate(source.parts[0].info().dtype,
                         absl::MakeConstSpan(dims, source.dims.size())));
    result.view = result.owned.view();
    return absl::OkStatus();
  };
  if (!one) RETURN_IF_ERROR(allocate());
  for (const Piece& piece : pieces) {
    const WeightPart& part = source.parts[piece.part];
    const size_t row_bytes =
        static_cast<size_t>(piece.columns.size()) * SizeOf(part.info().dtype);
    if (whole) {
      CopyPiece(parts[piece.part].view.ptr<char>() +
                    static_cast<size_t>(piece.rows.begin) * row_bytes,
                row_bytes, piece, result.view);
      continue;
    }
    ASSIGN_OR_RETURN(HostWeight read,
                     part.file->ReadWindow(part.tensor, name, piece.rows,
                                           piece.columns, sum));
    if (one) return read;
    CopyPiece(read.view.ptr<char>(), row_bytes, piece, result.view);
  }
  return result;
}

}  // namespace moe
