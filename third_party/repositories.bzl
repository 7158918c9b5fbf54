"""External repositories. Everything comes from the system; nothing is downloaded."""

load("//third_party:system.bzl", "system_libraries")

def _bazel_4_stubs():
    # Bazel 4 would download these three for its own @bazel_tools. One local
    # stub, aliasing the native rules, serves them all. (Debian's 4.2.3 gives an
    # empty version.)
    if not native.bazel_version or native.bazel_version.startswith("4."):
        for name in ["rules_cc", "rules_java", "remote_coverage_tools"]:
            native.local_repository(name = name, path = "third_party/bazel")

def repositories():
    """Declares @system (libraries found by pkg-config) and Bazel 4's stubs."""
    _bazel_4_stubs()
    system_libraries(
        name = "system",
        libraries = {
            "absl": [
                "absl_cord",
                "absl_flags_parse",
                "absl_flat_hash_map",
                "absl_flat_hash_set",
                "absl_span",
                "absl_status",
                "absl_statusor",
                "absl_str_format",
                "absl_strings",
                "absl_time",
            ],
            "benchmark": ["benchmark"],
            "crypto": ["libcrypto"],
            "grpc": ["grpc++", "protobuf"],
            "gtest": ["gmock", "gtest"],
            "gtest_main": ["gmock_main", "gmock", "gtest"],
            "highway": ["libhwy"],
            "icu": ["icu-uc"],
            "json": ["nlohmann_json"],
            "mpi": ["ompi-c"],
            "pcre2": ["libpcre2-8"],
            "protobuf": ["protobuf"],
            "spdlog": ["spdlog"],
        },
        defines = {
            # The MPI C++ bindings are gone from MPI 3; without this g++ -O0
            # wants them from libmpi_cxx.
            "mpi": ["OMPI_SKIP_MPICXX"],
        },
        linkopts = {
            "grpc": ["-lgrpc++_reflection"],
        },
        tools = ["grpc_cpp_plugin", "mpirun", "protoc"],
    )
