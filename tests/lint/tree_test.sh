#!/bin/bash
# tree_test.sh SCRIPT: runs check_tree.py over the whole source tree, which is
# where the script's own link in the runfiles leads.
set -euo pipefail
script=$(readlink -f "$1")
root=${script%/tools/lint/*}
exec python3 -B "$script" "$root"
