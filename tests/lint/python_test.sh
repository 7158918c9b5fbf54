#!/bin/bash
# python_test.sh TEST FOLDER: runs the unit test TEST of modules in FOLDER.
set -euo pipefail
PYTHONPATH=$2 exec python3 -B "$1"
