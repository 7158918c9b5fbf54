"""The library of an op."""

# Results must not depend on whether the compiler fuses a multiply with an add
# here and not there: only the fused operations that the source names are fused.
_COPTS = [
    "-O3",
    "-ffp-contract=off",
]

def op_library(name, srcs = [], hdrs = [], deps = []):
    """An op: its contract, its checks and its arm for each device.

    The files are <name>.h, <name>.cc (checks and dispatch) and <name>_cpu.cc.
    The arm of another device is one more file of this list.

    Args:
      name: the op's name.
      srcs: further sources of the op.
      hdrs: further headers of the op.
      deps: what it needs beyond what most ops need.
    """
    native.cc_library(
        name = name,
        srcs = [
            name + ".cc",
            name + "_cpu.cc",
        ] + srcs,
        hdrs = [name + ".h"] + hdrs,
        copts = _COPTS,
        deps = [
            ":op_checks",
            "//kernels/core:cpu_stream",
            "//kernels/core:dispatch",
            "//kernels/core:dtype",
            "//kernels/core:status_macros",
            "//kernels/core:stream",
            "//kernels/core:tensor",
            "//kernels/cpu:vector_math",
            "@system//:absl",
            "@system//:highway",
        ] + deps,
    )
