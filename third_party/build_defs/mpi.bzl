"""Tests that run on several MPI ranks."""

def mpi_test(name, np, args = [], data = [], env = {}, size = "small", tags = [], **kwargs):
    """A cc_test that mpirun starts on np local ranks.

    Args:
      name: the test's name.
      np: how many ranks.
      args: passed to every rank.
      data: as of cc_test.
      env: of every rank.
      size: as of cc_test.
      tags: as of cc_test.
      **kwargs: passed on to the cc_binary (srcs, deps, copts, ...).
    """
    native.cc_binary(
        name = name + "_rank",
        testonly = True,
        data = data,
        tags = tags,
        **kwargs
    )
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//third_party/build_defs:mpirun.sh"],
        args = [str(np), "$(rootpath :%s_rank)" % name] + args,
        data = [":%s_rank" % name],
        env = env,
        tags = tags + ["cpu:2"],
    )
