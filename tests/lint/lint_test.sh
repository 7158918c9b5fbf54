#!/bin/bash
# lint_test.sh SCRIPT: runs a lint script over the whole source tree, which is
# where the script's own link in the runfiles leads.
set -euo pipefail
script=$(readlink -f "$1")
root=${script%/tools/lint/*}
exec python3 "$script" "$root"
