"""gRPC stubs for a proto_library, by the system's protoc plugin."""

def _grpc_codegen_impl(ctx):
    proto = ctx.attr.proto[ProtoInfo]
    stems = [src.basename[:-len(".proto")] for src in proto.direct_sources]
    headers = [ctx.actions.declare_file(stem + ".grpc.pb.h") for stem in stems]
    sources = [ctx.actions.declare_file(stem + ".grpc.pb.cc") for stem in stems]

    args = ctx.actions.args()
    args.add(ctx.executable._plugin, format = "--plugin=protoc-gen-grpc=%s")
    args.add("--grpc_out=" + ctx.bin_dir.path)
    args.add_all(proto.transitive_proto_path, before_each = "-I")
    args.add_all(proto.direct_sources)
    ctx.actions.run(
        executable = ctx.executable._protoc,
        arguments = [args],
        inputs = proto.transitive_sources,
        outputs = headers + sources,
        tools = [ctx.executable._plugin],
        mnemonic = "GrpcCodegen",
        progress_message = "Generating gRPC stubs %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset(headers + sources)),
        OutputGroupInfo(headers = depset(headers), sources = depset(sources)),
    ]

_grpc_codegen = rule(
    implementation = _grpc_codegen_impl,
    attrs = {
        "proto": attr.label(mandatory = True, providers = [ProtoInfo]),
        "_plugin": attr.label(
            default = "@system//:grpc_cpp_plugin",
            allow_single_file = True,
            cfg = "exec",
            executable = True,
        ),
        "_protoc": attr.label(
            default = "@system//:protoc",
            allow_single_file = True,
            cfg = "exec",
            executable = True,
        ),
    },
)

def cc_grpc_library(name, proto, deps, **kwargs):
    """A cc_library of the gRPC stubs of proto's services.

    Args:
      name: the library's name.
      proto: the proto_library that defines the services, in this package.
      deps: the cc_proto_library of proto.
      **kwargs: passed on to the cc_library.
    """
    _grpc_codegen(name = name + "_codegen", proto = proto)
    for group in ["headers", "sources"]:
        native.filegroup(
            name = "{}_{}".format(name, group),
            srcs = [name + "_codegen"],
            output_group = group,
        )
    native.cc_library(
        name = name,
        srcs = [name + "_sources"],
        hdrs = [name + "_headers"],
        deps = deps + ["@system//:grpc"],
        **kwargs
    )
