#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/core/cpu_stream.h"

// The one file that knows which back ends are built in. An op's <op>.cc
// validates its arguments and ends on
//   return MOE_DISPATCH(LayerNorm, stream, args);
// which runs cpu::LayerNorm(args, CpuStream&) on a CPU stream, at once or later
// (CpuStream::Run).
namespace moe {

// kUnimplemented: `op` was asked to run on a device without a back end.
inline absl::Status NoBackendFor(absl::string_view op, Device device) {
  return absl::UnimplementedError(
      absl::StrCat(op, ": this build has no back end for ", ToString(device),
                   "; build moe_server with one or run on device cpu:0"));
}

}  // namespace moe

#define MOE_DISPATCH(Op, stream, args)                        \
  ((stream).device().type == ::moe::DeviceType::kCpu          \
       ? static_cast<::moe::CpuStream&>(stream).Run(          \
             args,                                            \
             [](const auto& op_args, ::moe::CpuStream& cpu) { \
               return ::moe::cpu::Op(op_args, cpu);           \
             })                                               \
       : ::moe::NoBackendFor(#Op, (stream).device()))
