#pragma once

#include "absl/status/statusor.h"
#include "kernels/core/dtype.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// Measure the speed of this rank's threads while the other ranks of the node
// measure too. Each takes a few milliseconds, at start-up.

// Bytes per second read from memory. On x86-64 the data is written with
// non-temporal stores, so it is not in the caches; elsewhere large caches may
// increase the result. Uses 2 MiB for each thread, 8 to 32 MiB in all.
// kResourceExhausted if memory is short.
absl::StatusOr<double> MeasureReadRate(ThreadPool& threads);

// Floating-point operations per second of products of 32 rows with a weight of
// `dtype` that fits the caches.
absl::StatusOr<double> MeasureMultiplyAddRate(DType dtype, Stream& stream);

}  // namespace moe
