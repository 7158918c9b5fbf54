#!/bin/bash
# hosts_test.sh SERVER CLIENT NETWORK MODEL: the server as four ranks on two
# hosts, which this machine plays (tests/support/virtual_network_main.cc), with
# 1 ms between them: its answers are those of one process; a rank that is killed
# on the other host, and a network that goes away, end it with a reason that
# names the host. Needs root and TAP devices; skips with the reason without.
set -euo pipefail

# --- On the first host. ---
if [[ ${1:-} == --inside ]]; then
  shift
  server=$1 client=$2 model=$3 dir=$4
  fail() {
    echo "FAILED: $*" >&2
    tail -n 40 "$dir/log" >&2
    exit 1
  }
  start() { # ranks
    rm -f "$dir/port"
    if (($1 == 1)); then
      "$server" --config="$dir/server.textproto" > "$dir/log" 2>&1 &
    else
      mpirun -np "$1" --allow-run-as-root --oversubscribe --bind-to none \
        "$server" --config="$dir/ranks.textproto" > "$dir/log" 2>&1 &
    fi
    job=$!
    for ((i = 0; i < 600; ++i)); do
      [[ ! -s $dir/port ]] || break
      kill -0 "$job" 2> /dev/null || fail "the server ended while starting"
      sleep 0.1
    done
    address=127.0.0.1:$(< "$dir/port")
  }
  generate() { # new_tokens
    "$client" generate --address="$address" --quiet --temperature=0 \
      --timeout=30s --token_ids=5,17,200 --ignore_eos --max_new_tokens="$1"
  }
  expect_no_ranks() {
    for ((i = 0; i < 100; ++i)); do
      pgrep -x moe_server > /dev/null || return 0
      sleep 0.1
    done
    fail "ranks are left: $(pgrep -ax moe_server)"
  }
  expect_end() {
    local status=0
    wait "$job" || status=$?
    ((status != 0)) || fail "mpirun ended with 0"
    expect_no_ranks
  }
  # What a client hears whose call, of seconds, is cut off.
  last_words() { ! { generate 500 > /dev/null; } 2>&1; }

  start 1
  expected=$(generate 20)
  kill -TERM "$job"
  wait "$job"

  start 4
  [[ $(generate 20) == "$expected" ]] || fail "other tokens than one process's"
  ranks=$("$client" ranks --address="$address")
  [[ $(grep -c ' node1 ' <<< "$ranks") == 2 ]] || fail "not two hosts: $ranks"
  victim=$(awk '$1 == 3 { print $4 }' <<< "$ranks")
  last_words > "$dir/words" &
  words=$!
  sleep 0.5
  kill -KILL "$victim"
  wait "$words"
  grep -q "UNAVAILABLE: rank 3 of 4 (host node1, process $victim)" \
    "$dir/words" || fail "the client heard: $(< "$dir/words")"
  expect_end

  start 4
  last_words > "$dir/words" &
  words=$!
  sleep 0.5
  ip link set eth0 down
  wait "$words"
  grep -q "UNAVAILABLE: rank . of 4 (host node1, .*has said nothing for 1s" \
    "$dir/words" || fail "the client heard: $(< "$dir/words")"
  expect_no_ranks
  # mpirun itself waits minutes for its daemon there.
  kill -KILL "$job"
  exit 0
fi

# --- Outside. ---
server=$(realpath "$1") client=$(realpath "$2") network=$(realpath "$3")
model=$(realpath "$4")
dir=$(mktemp -d "$TEST_TMPDIR/hosts.XXXXXX")
common="model { path: \"$model\" weight_dtype: F32 }
server { port: 0 port_file: \"port\" }
engine { threads: 1 kv_cache_bytes: 20000000 }"
echo "$common" > "$dir/server.textproto"
echo "$common
parallel { nodes: 2 expert_degree: 4 watchdog: \"1s\" connect_timeout: \"20s\" }" \
  > "$dir/ranks.textproto"
status=0
"$network" --nodes=2 --ranks_per_node=2 --latency=1ms -- \
  bash "$(realpath "$0")" --inside "$server" "$client" "$model" "$dir" ||
  status=$?
if ((status == 77)); then
  echo "skipped: this system cannot play hosts (reason above)"
  exit 0
fi
exit "$status"
