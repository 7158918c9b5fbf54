#!/bin/bash
# build_environment_test.sh: tests (and with them all actions) have Bazel's fixed
# environment, not that of the shell that started the build: see .bazelrc.
set -euo pipefail
failed=0
for name in PATH LD_LIBRARY_PATH VIRTUAL_ENV PYTHONHOME; do
  wanted=
  [[ $name != PATH ]] || wanted=/bin:/usr/bin:/usr/local/bin
  value=${!name:-}
  value=${value#.:} # Bazel puts the test's folder first in PATH
  if [[ $value != "$wanted" ]]; then
    echo "$name is '$value', not '$wanted': it came from the shell" >&2
    failed=1
  fi
done
exit "$failed"
