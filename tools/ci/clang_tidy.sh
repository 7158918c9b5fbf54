#!/bin/bash
# clang_tidy.sh [FILE...]: clang-tidy with the checks of .clang-tidy over FILEs,
# by default over all sources of the product. Fails if it finds anything.
#
#   tools/ci/clang_tidy.sh                         everything: an hour on one core
#   tools/ci/clang_tidy.sh engine/scheduler/*.cc   what you work on
#
# MOE_TIDY_JOBS: how many files at a time (default 1). MOE_BAZEL_STARTUP: options
# for bazel itself. Needs Debian's clang-tidy (14 or later).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v clang-tidy > /dev/null; then
  echo "clang_tidy.sh: there is no clang-tidy here: apt-get install clang-tidy" >&2
  exit 1
fi
if (($# == 0)); then
  mapfile -t files < <(find kernels comm engine server tools -name '*.cc' | sort)
  set -- "${files[@]}"
fi

# Sources include what protoc generates.
read -ra startup <<< "${MOE_BAZEL_STARTUP:-}"
bazel=(bazel ${startup[@]+"${startup[@]}"})
"${bazel[@]}" query 'kind("_grpc_codegen|cc_proto_library", //...)' --output=label 2> /dev/null |
  xargs "${bazel[@]}" build --noshow_progress
python3 tools/compile_commands.py

# Flags of g++ that clang does not know are no finding.
printf '%s\0' "$@" | xargs -0 -n 1 -P "${MOE_TIDY_JOBS:-1}" \
  nice clang-tidy -p . --config-file=.clang-tidy --quiet \
  --extra-arg=-Wno-unknown-warning-option
echo "clang-tidy finds nothing in $# files"
