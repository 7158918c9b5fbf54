#pragma once

#include "absl/status/statusor.h"
#include "kernels/core/dtype.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// What this rank can do with its threads, if others of its node do the same at
// this moment. For start-up: some milliseconds each.

// Bytes per second that come from memory: not from the caches, past which it
// was written (on x86-64; elsewhere large caches may make it look faster).
// Takes 2 MiB for each thread, 8 to 32 MiB in all; kResourceExhausted.
absl::StatusOr<double> MeasureReadRate(ThreadPool& threads);

// Additions and multiplications per second of products of 32 rows by a weight
// of `dtype` that fits the caches.
absl::StatusOr<double> MeasureMultiplyAddRate(DType dtype, Stream& stream);

}  // namespace moe
