#!/bin/bash
# python_client_test.sh SCRIPT ARGUMENT...: runs a script of this folder against
# the real server. Needs grpcio and its tools in
# $MOE_PYTHON (default python3); without them the test is skipped, or fails if
# MOE_REQUIRE_PYTHON=1.
set -euo pipefail
python=${MOE_PYTHON:-python3}
if ! "$python" -c 'import grpc, grpc_health, grpc_reflection, grpc_status, grpc_tools' 2> "$TEST_TMPDIR/why"; then
  why=$(tail -n 1 "$TEST_TMPDIR/why")
  if [[ ${MOE_REQUIRE_PYTHON:-} == 1 ]]; then
    echo "FAILED: $python lacks the gRPC client: $why"
    exit 1
  fi
  echo "SKIPPED: $python lacks the gRPC client ($why);" \
    "pip install -r tests/integration/requirements.txt"
  exit 0
fi
script=$1
shift
exec "$python" "tests/integration/$script" "$@"
