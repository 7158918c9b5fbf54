#!/bin/bash
# limits_test.sh SERVER CLIENT MODEL: the server in control groups that leave it
# little: CPU time, memory, tasks. Needs root and control groups that it may make,
# of version 1 or 2; skips with the reason without.
set -euo pipefail
server=$(realpath "$1") client=$(realpath "$2") model=$(realpath "$3")
dir=$(mktemp -d "$TEST_TMPDIR/limits.XXXXXX")
groups=()

skip() {
  echo "skipped: $*"
  exit 0
}
fail() {
  echo "FAILED: $*" >&2
  tail -n 40 "$dir/log" >&2
  exit 1
}
remove_groups() {
  for group in "${groups[@]}"; do
    for ((i = 0; i < 50; ++i)); do
      rmdir "$group" 2> /dev/null && break
      sleep 0.1
    done
  done
}
trap remove_groups EXIT

# Sets `group` to a new group of a controller, below this process's own.
make_group() { # controller
  local mount own
  mount=$(awk -v c="$1" '$0 ~ " - cgroup cgroup .*[ ,]" c "(,|$)" { print $5; exit }' /proc/self/mountinfo)
  own=$(awk -F: -v c="$1" '$2 ~ "(^|,)" c "(,|$)" { print $3 }' /proc/self/cgroup)
  version=1
  if [[ -z $mount ]]; then
    version=2
    mount=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
    own=/
    grep -qw "$1" "$mount/cgroup.subtree_control" 2> /dev/null || return 1
  fi
  group=$mount${own%/}/moe_limits_test.$$
  [[ -d $mount$own ]] || group=$mount/moe_limits_test.$$
  mkdir "$group" 2> /dev/null || return 1
  groups+=("$group")
}
config() { # engine fields
  cat > "$dir/server.textproto" << END
model { path: "$model" weight_dtype: F32 }
server { port: 0 port_file: "port" }
engine { $1 }
END
}
# Starts the server in `group`; sets `job`.
start() {
  rm -f "$dir/port"
  bash -c 'echo $$ > "$0/cgroup.procs"; exec "$@"' "$group" \
    "$server" --config="$dir/server.textproto" > "$dir/log" 2>&1 &
  job=$!
}
await_port() {
  for ((i = 0; i < 600; ++i)); do
    [[ ! -s $dir/port ]] || return 0
    kill -0 "$job" 2> /dev/null || return 1
    sleep 0.1
  done
  return 1
}
stop() {
  kill -TERM "$job"
  wait "$job" || fail "exit status $?"
}
expect_line() { grep -q "$1" "$dir/log" || fail "no line with: $1"; }

((EUID == 0)) || skip "not root"

if make_group cpu; then
  echo "a quota of half a CPU: one thread"
  if ((version == 1)); then
    echo 100000 > "$group/cpu.cfs_period_us"
    echo 50000 > "$group/cpu.cfs_quota_us"
  else
    echo "50000 100000" > "$group/cpu.max"
  fi
  config "kv_cache_bytes: 20000000"
  start
  await_port || fail "it does not serve"
  expect_line "event=cpu_quota cpus=0.5 file=$group/.* threads=1"
  stop
else
  echo "skipped: CPU time (no group of controller cpu can be made)"
fi

if make_group memory; then
  echo "a limit of memory: what does not fit names it"
  limit=300003328
  echo $limit > "$group/memory.$( ((version == 1)) && echo limit_in_bytes || echo max)"
  config "threads: 1 kv_cache_bytes: 2000000000"
  start
  wait "$job" && fail "it took more memory than there is"
  expect_line "event=failed .*the limit $limit in $group/memory"
  echo "a limit of memory: an automatic cache keeps to it"
  config "threads: 1 max_running_sequences: 512"
  start
  await_port || fail "it does not serve"
  bytes=$(grep -oP 'kv_cache_bytes=\K[0-9]+' "$dir/log")
  ((bytes < limit)) || fail "a cache of $bytes bytes"
  stop
else
  echo "skipped: memory (no group of controller memory can be made)"
fi

make_group pids || skip "tasks (no group of controller pids can be made)"
config "threads: 1 kv_cache_bytes: 20000000"
for tasks in 2 3 5 8 11 14 17; do
  echo "a limit of $tasks tasks: one line"
  echo $tasks > "$group/pids.max"
  start
  status=0
  wait "$job" || status=$?
  ((status == 1)) || fail "exit status $status"
  [[ $(grep -c "event=failed .*$group/pids.max is $tasks;" "$dir/log") == 1 ]] ||
    fail "not one event=failed that names the limit"
done
echo "no task beside those of the idle server: streams go on"
echo max > "$group/pids.max"
start
await_port || fail "it does not serve"
sleep 0.5 # threads that come late
idle=$(< "$group/pids.current")
echo "$idle" > "$group/pids.max"
calls=()
for ((i = 0; i < 40; ++i)); do
  "$client" generate --address="127.0.0.1:$(< "$dir/port")" --quiet --timeout=60s \
    --token_ids=5,17,200 --ignore_eos --max_new_tokens=40 > /dev/null &
  calls+=($!)
done
for call in "${calls[@]}"; do wait "$call" || fail "a stream was lost"; done
! grep "event=thread_failed" "$dir/log" || fail "a thread was lost"
stop
echo "near the limit it warns"
# The reserve is what is missing: it is the last of what the idle server starts.
echo $((idle - 3)) > "$group/pids.max"
start
await_port || fail "it does not serve with $((idle - 3)) tasks"
sleep 0.5
expect_line "event=few_threads .*$group/pids.max"
stop
echo "a thread that cannot be started makes the server not ready"
echo max > "$group/pids.max"
start
await_port || fail "it does not serve"
sleep 0.5
# Less than it has: no thread of the reserve makes room.
echo 1 > "$group/pids.max"
calls=()
for ((i = 0; i < 40; ++i)); do
  "$client" generate --address="127.0.0.1:$(< "$dir/port")" --quiet --timeout=5s \
    --token_ids=5,17,200 --ignore_eos --max_new_tokens=40 > /dev/null 2>&1 &
  calls+=($!)
done
for call in "${calls[@]}"; do wait "$call" || true; done
echo max > "$group/pids.max"
if grep -q "event=thread_failed .*$group/pids.max is 1" "$dir/log"; then
  sleep 0.3 # three times the interval of the health checks
  expect_line "event=health status=NOT_SERVING message=\"a thread could not be started"
fi
kill -KILL "$job"
wait "$job" || true
