"""Exposes the system's libraries and tools as Bazel targets, by pkg-config."""

def _system_libraries_impl(rctx):
    build = ["package(default_visibility = [\"//visibility:public\"])"]
    for name, packages in rctx.attr.libraries.items():
        result = rctx.execute(["pkg-config", "--cflags", "--libs"] + packages)
        if result.return_code != 0:
            fail("pkg-config %s: %s" % (" ".join(packages), result.stderr))
        includes = []
        defines = rctx.attr.defines.get(name, [])
        linkopts = []
        for flag in reversed(result.stdout.strip().split(" ")):
            if flag.startswith("-I"):
                includes.append("%s/%d" % (name, len(includes)))
                rctx.symlink(flag[2:], includes[-1])
            elif flag.startswith("-D"):
                defines.append(flag[2:])
            elif flag and flag not in linkopts:
                linkopts.insert(0, flag)  # repeated: the last place counts
        linkopts = ["-Wl,--as-needed"] + rctx.attr.linkopts.get(name, []) + linkopts
        build.append("cc_library(name = %r, hdrs = glob(%r, allow_empty = True), includes = %r, defines = %r, linkopts = %r)" % (
            name,
            [include + "/**" for include in includes],
            includes,
            defines,
            linkopts,
        ))
    for tool in rctx.attr.tools:
        path = rctx.which(tool)
        if not path:
            fail("%s is not on the PATH" % tool)
        rctx.symlink(path, "bin/" + tool)
        build.append("filegroup(name = %r, srcs = [%r])" % (tool, "bin/" + tool))
    rctx.file("BUILD.bazel", "\n".join(build) + "\n")

system_libraries = repository_rule(
    implementation = _system_libraries_impl,
    attrs = {
        "defines": attr.string_list_dict(doc = "Library name to macros that pkg-config lacks."),
        "libraries": attr.string_list_dict(doc = "Library name to pkg-config packages."),
        "linkopts": attr.string_list_dict(doc = "Library name to linker flags that pkg-config lacks."),
        "tools": attr.string_list(doc = "Programs to find on the PATH."),
    },
    configure = True,
    environ = ["PATH", "PKG_CONFIG_PATH"],
)
