#!/bin/bash
# clock_jump_test.sh SERVER CLIENT SHIFTED_CLOCK MODEL: the system's clock is set
# while the server drains and tells how long it has been up: nothing ends early.
set -euo pipefail
server=$(realpath "$1") client=$(realpath "$2") clock=$(realpath "$3")
model=$(realpath "$4")
dir=$(mktemp -d "$TEST_TMPDIR/clock.XXXXXX")
cat > "$dir/server.textproto" << END
model { path: "$model" weight_dtype: F32 }
server { port: 0 port_file: "port" drain_grace: "60s" }
engine { threads: 1 kv_cache_bytes: 20000000 }
END

fail() {
  echo "FAILED: $*" >&2
  tail -n 40 "$dir/log" >&2
  exit 1
}
shift_clock() { # seconds
  python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("=q", int(sys.argv[1])))' "$1" > "$dir/number"
  dd if="$dir/number" of="$dir/shift" conv=notrunc status=none
}
call() { "$client" "$@" --address="127.0.0.1:$(< "$dir/port")"; }
# Starts a call of seconds in the background; returns when it runs.
start_long_call() {
  call generate --quiet --timeout=60s --token_ids=5,17,200 --ignore_eos --n=16 \
    --max_new_tokens=200 > "$dir/answer" 2>&1 &
  long_call=$!
  for ((i = 0; i < 200; ++i)); do
    call load | grep -q "running_sequences: 16" && return
    sleep 0.02
  done
  fail "the call does not run"
}

shift_clock 0
MOE_CLOCK_SHIFT=$dir/shift LD_PRELOAD=$clock "$server" \
  --config="$dir/server.textproto" > "$dir/log" 2>&1 &
job=$!
for ((i = 0; i < 600; ++i)); do
  [[ ! -s $dir/port ]] || break
  kill -0 "$job" 2> /dev/null || fail "the server ended while starting"
  sleep 0.1
done
[[ -s $dir/port ]] || fail "it does not serve"

echo "a drain call waits for the answer though the clock jumps by an hour"
start_long_call
call drain --wait=60s > "$dir/drained" &
drain=$!
sleep 0.1
shift_clock 3600
wait "$drain" || fail "drain: $(< "$dir/drained")"
grep -q "idle: true" "$dir/drained" || fail "drain: $(< "$dir/drained")"
wait "$long_call" || fail "the call ended with: $(tail -n 1 "$dir/answer")"
call resume

echo "the log tells the time that the clock shows"
hour=$(date -u -d '+1 hour' +%Y-%m-%dT%H)
tail -n 1 "$dir/log" | grep -qE "time=($hour|$(date -u -d '+55 min' +%Y-%m-%dT%H))" ||
  fail "the clock was not shifted"

echo "uptime counts on though the clock is set back"
shift_clock -3600
uptime=$(call info | awk '$1 == "uptime_seconds:" { print int($2) }')
((uptime >= 0 && uptime < 600)) || fail "uptime is $uptime"

echo "a shutdown lets the call finish though the clock jumps by an hour"
start_long_call
kill -TERM "$job"
sleep 0.1
shift_clock 3600
wait "$long_call" || fail "the call ended with: $(tail -n 1 "$dir/answer")"
wait "$job" || fail "exit status $?"
