#!/bin/bash
# launchers_test.sh SERVER CLIENT MPIRUN MODEL DENY: the server under launchers
# and in places that are not as they should be: each ends with one line of its log
# that says what to do, or goes on without a word. What needs root is skipped
# without.
set -euo pipefail
server=$(realpath "$1") client=$(realpath "$2") mpirun=$(realpath "$3")
model=$(realpath "$4") deny=$(realpath "$5")
dir=$(mktemp -d "$TEST_TMPDIR/launchers.XXXXXX")
cat > "$dir/server.textproto" << END
model { path: "$model" weight_dtype: F32 }
server { port: 0 port_file: "port" }
engine { threads: 1 kv_cache_bytes: 20000000 }
parallel { connect_timeout: "5s" }
END
sed 's/parallel {/parallel { tensor_degree: 2/' "$dir/server.textproto" > "$dir/ranks.textproto"

fail() {
  echo "FAILED: $*" >&2
  tail -n 40 "$dir/log" >&2
  exit 1
}
# A start that must fail, by itself, with a line that has this text.
expect_failure() { # text, command...
  local text=$1 status=0
  shift
  timeout 60 "$@" > "$dir/log" 2>&1 || status=$?
  ((status != 0 && status != 124)) || fail "$text: exit status $status"
  grep -q "event=failed .*$text" "$dir/log" || fail "no event=failed with: $text"
}
# Starts a server, which must serve, drain on a signal and end with 0.
expect_service() { # signal, command...
  local signal=$1 status=0
  shift
  rm -f "$dir/port"
  "$@" > "$dir/log" 2>&1 &
  local job=$!
  for ((i = 0; i < 600; ++i)); do
    [[ ! -s $dir/port ]] || break
    kill -0 "$job" 2> /dev/null || fail "the server ended while starting: $*"
    sleep 0.1
  done
  # A prompt whose sums over the ranks are large messages.
  "$client" generate --address="127.0.0.1:$(< "$dir/port")" --quiet --timeout=30s \
    --token_ids="$(seq -s, 1 200)" --ignore_eos --max_new_tokens=2 > /dev/null
  kill "-$signal" "$job"
  wait "$job" || status=$?
  ((status == 0)) || fail "exit status $status: $*"
}

echo "a PMI job of one task is one process"
expect_service TERM env PMI_RANK=0 PMI_SIZE=1 "$server" --config="$dir/server.textproto"
echo "a PMI job that Open MPI cannot join"
expect_failure "PMI_RANK=1 and PMI_SIZE=2" \
  env PMI_RANK=1 PMI_SIZE=2 "$server" --config="$dir/server.textproto"
echo "a rank that does not come"
# shellcheck disable=SC2016  # the rank's shell expands it
expect_failure "parallel.connect_timeout.*btl_tcp_if_include" "$mpirun" 2 bash -c \
  '((OMPI_COMM_WORLD_RANK == 0)) || sleep 30; exec "$@"' _ "$server" --config="$dir/ranks.textproto"
echo "copies between processes are forbidden"
expect_service USR1 python3 "$deny" "$mpirun" 2 "$server" --config="$dir/ranks.textproto"
! grep "Read -1" "$dir/log" || fail "Open MPI complains"

if ! unshare --mount --pid --fork --mount-proc true 2> "$dir/why"; then
  echo "skipped: ranks in pid namespaces, a full /dev/shm ($(< "$dir/why"))"
  exit 0
fi
echo "ranks in pid namespaces of their own"
expect_failure "mpirun is not among its ancestors" "$mpirun" 2 \
  unshare --pid --fork --mount-proc "$server" --config="$dir/ranks.textproto"
echo "a /dev/shm that is too small"
# shellcheck disable=SC2016
expect_failure "/dev/shm has no room" unshare --mount bash -c \
  'mount -t tmpfs -o size=6m tmpfs /dev/shm; exec "$@"' _ "$mpirun" 2 "$server" --config="$dir/ranks.textproto"
