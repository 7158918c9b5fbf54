"""Tests that run on the CPU and on the guarded device."""

def device_test(name, srcs, deps, size = "medium", data = [], guarded_filter = None):
    """A cc_test, and a second one, <name>_guarded, on the guarded device.

    Its sources take their stream from //tests/support:test_device.

    Args:
      name: of the first test.
      srcs: compiled once for both.
      deps: as of cc_test, with gtest_main.
      size: of each test.
      data: as of cc_test.
      guarded_filter: of GoogleTest, for the second test, which is slow. None:
        it runs all cases too.
    """
    native.cc_library(
        name = name + "_cases",
        testonly = True,
        srcs = srcs,
        deps = deps,
        alwayslink = True,
    )
    for suffix, device in [("", "cpu"), ("_guarded", "guarded")]:
        native.cc_test(
            name = name + suffix,
            size = size,
            data = data,
            args = ["--gtest_filter=" + guarded_filter] if suffix and guarded_filter else [],
            env = {"MOE_TEST_DEVICE": device},
            deps = [":" + name + "_cases"],
        )
