"""Tests that run on the CPU and on the guarded device."""

def device_test(name, srcs, deps, size = "medium", data = []):
    """A cc_test, and a second one, <name>_guarded, on the guarded device.

    Its sources take their stream from //tests/support:test_stream.

    Args:
      name: of the first test.
      srcs: compiled once for both.
      deps: as of cc_test, with gtest_main.
      size: of each test.
      data: as of cc_test.
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
            env = {"MOE_TEST_DEVICE": device},
            deps = [":" + name + "_cases"],
        )
