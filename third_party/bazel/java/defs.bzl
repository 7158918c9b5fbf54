"""Stands in for rules_java: the native rules that @bazel_tools loads from it."""

java_import = native.java_import
java_runtime = native.java_runtime
java_toolchain = native.java_toolchain
