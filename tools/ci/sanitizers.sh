#!/bin/bash
# sanitizers.sh [asan|tsan|ubsan ...]: the whole suite under each sanitizer, one
# after the other (all three by default); stops at the first that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
for config in "${@:-asan tsan ubsan}"; do
  for one in $config; do
    echo "== $one"
    tools/test.sh --config="$one"
  done
done
