#!/bin/bash
# tools/test.sh [BAZEL_OPTION...]: installs what is missing, builds everything
# and runs every test. Ends on the line 'N passed, N failed'.
#
#   tools/test.sh                 the whole suite
#   tools/test.sh --config=asan   the same under AddressSanitizer
#
# MOE_PYTHON_VENV: where the Python clients of the tests are installed (default
# ~/.cache/moe_server/venv). MOE_BAZEL_STARTUP: options for bazel itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/install_packages.sh

venv=${MOE_PYTHON_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/moe_server/venv}
requirements=tests/integration/requirements.txt
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
  echo "Installing the Python gRPC client used by the integration tests in $venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$venv/requirements.txt"
fi

# The Python tests must run here; by hand, without the client, they are skipped.
options=(--keep_going --test_env=MOE_REQUIRE_PYTHON=1
  --test_env="MOE_PYTHON=$venv/bin/python3" "$@")
[[ -n ${CI:-} ]] && options+=(--config=ci)

read -ra startup <<< "${MOE_BAZEL_STARTUP:-}"
events=$(mktemp)
trap 'rm -f "$events"' EXIT
status=0
bazel ${startup[@]+"${startup[@]}"} test //... "${options[@]}" \
  --build_event_json_file="$events" || status=$?
# Also counts what did not build; fails if anything did.
python3 tools/ci/summarize_tests.py "$events" "$status"
