#!/bin/bash
# tools/quickstart.sh [--keep] [--ranks N] [--config=FILE]: from a bare machine
# to text.
#
# Installs the Debian packages, builds server and client, starts the server on a
# free loopback port, streams the answers to three prompts, says how fast that
# was, and stops the server again.
#
#   --keep         leave the server running and say how to call and stop it
#   --ranks N      lay the model over N processes, started by mpirun
#   --config=FILE  serve this configuration, not configs/demo_cpu.textproto
#
# MOE_BAZEL_STARTUP: options for bazel itself.
set -euo pipefail

# Bazel, mpirun and their libraries write there; a container may have none.
export HOME="${HOME:-${TMPDIR:-/tmp}}"

readonly START_SECONDS=120  # for the model to load
readonly STOP_SECONDS=60    # for the server to drain
readonly PROMPT_SECONDS=120 # for one answer
readonly PROMPTS=(
  "It was a dark and stormy night, and"
  "\"My dear Watson,\" said Holmes,"
  "Once upon a time there was a little girl who"
)

keep=false
ranks=0 # 0: one process, without mpirun
config=""
server_pid=""
run_dir=""

step() { printf '\n== %s\n' "$*"; }

# Prints the reason and the end of the server's log; ends the script.
fail() {
  printf '\nquickstart.sh: %s\n' "$*" >&2
  if [[ -n $run_dir && -s $run_dir/server.log ]]; then
    echo "The server's log ends:" >&2
    tail -n 20 "$run_dir/server.log" | sed 's/^/  /' >&2
  fi
  exit 1
}

server_runs() { [[ -n $server_pid ]] && kill -0 "$server_pid" 2> /dev/null; }

# Waits until the server has ended, for at most $1 seconds.
await_end() {
  local end=$((SECONDS + $1))
  while server_runs; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# Whatever ends the script: no server is left behind, unless it is to stay.
clean_up() {
  local status=$?
  trap '' INT TERM
  if ! ($keep && ((status == 0))); then
    if server_runs; then
      kill "-${stop_signal:-TERM}" "$server_pid" 2> /dev/null || true
      await_end 10 || kill -KILL "$server_pid" 2> /dev/null || true
    fi
    [[ -z $run_dir ]] || rm -rf "$run_dir"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The value of the JSON on standard input that the Python expression `$1` gives
# for it as `j`.
json() { python3 -c "import json, sys; j = json.load(sys.stdin); print($1)"; }

while (($# > 0)); do
  argument=$1
  shift
  case $argument in
    --keep) keep=true ;;
    --config=?*) config=$(realpath -e -- "${argument#*=}") || exit 2 ;;
    --ranks | --ranks=*)
      if [[ $argument == --ranks ]]; then
        ranks=${1:-}
        shift || true
      else
        ranks=${argument#*=}
      fi
      if ! [[ $ranks =~ ^[1-9][0-9]{0,2}$ ]]; then
        echo "quickstart.sh: --ranks needs a number of processes" >&2
        exit 2
      fi
      ;;
    -h | --help)
      sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *)
      echo "quickstart.sh: unknown argument '$argument'; see --help" >&2
      exit 2
      ;;
  esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
config=${config:-$PWD/configs/demo_cpu.textproto}
[[ -r $config ]] || fail "cannot read the configuration $config"

step "Installing what is missing"
tools/install_packages.sh || fail "packages are missing (reason above)"

step "Building (several minutes the first time, seconds after that)"
read -ra startup <<< "${MOE_BAZEL_STARTUP:-}"
bazel() { command bazel ${startup[@]+"${startup[@]}"} "$@"; }
bazel build -c opt //server:moe_server //tools/client \
  //tests/benchmarks:machine_ceilings ||
  fail "the build failed (reason above)"
bin=$(bazel info -c opt bazel-bin 2> /dev/null) ||
  fail "bazel does not say where it put the binaries"
client=$bin/tools/client/client

step "Starting the server"
run_dir=$(mktemp -d "${TMPDIR:-/tmp}/moe_quickstart.XXXXXX")
# The configuration as it is, but on a free loopback port.
command=("$bin/server/moe_server" --config="$config"
  --address=127.0.0.1 --port=0 --port_file="$run_dir/port")
if ((ranks > 0)); then
  # More ranks than cores are fine: ranks that wait yield the core.
  launcher=(mpirun -np "$ranks" --oversubscribe --bind-to none
    --mca mpi_yield_when_idle 1)
  ((EUID != 0)) || launcher+=(--allow-run-as-root)
  command=("${launcher[@]}" "${command[@]}")
fi
# In a session of its own, so that Ctrl-C reaches this script first.
setsid "${command[@]}" > "$run_dir/server.log" 2>&1 < /dev/null &
server_pid=$!
# What drains it: mpirun passes on SIGUSR1, and takes SIGTERM for itself.
stop_signal=TERM
((ranks == 0)) || stop_signal=USR1
end=$((SECONDS + START_SECONDS))
until [[ -s $run_dir/port ]] &&
  "$client" health --address="127.0.0.1:$(< "$run_dir/port")" --timeout=2s \
    > /dev/null 2>&1; do
  if ! server_runs; then
    status=0
    wait "$server_pid" || status=$?
    fail "the server ended with status $status while starting"
  fi
  ((SECONDS < end)) || fail "the server is not SERVING after $START_SECONDS s"
  sleep 0.1
done
address=127.0.0.1:$(< "$run_dir/port")
echo "grpc.health.v1 says SERVING at $address:"
"$client" models --address="$address" || fail "the server does not answer"

if ((ranks > 0)); then
  step "The ranks"
  "$client" ranks --address="$address" || fail "the server does not answer"
fi

step "Measuring how fast this machine reads memory"
info=$("$client" info --json --address="$address") ||
  fail "the server does not answer"
ceilings=$("$bin/tests/benchmarks/machine_ceilings" --json \
  --threads="$(json 'min(j["threads"] * j["world_size"], '"$(nproc)"')' \
    <<< "$info")") ||
  fail "the measurement failed"
read_rate=$(json 'j["ceilings"][-1]["read_bytes_per_s"]' <<< "$ceilings")
LC_ALL=C printf '%.1f GB/s with the threads that the server uses\n' \
  "$(python3 -c "print($read_rate / 1e9)")"

for i in "${!PROMPTS[@]}"; do
  step "Streaming: ${PROMPTS[i]}"
  "$client" generate --address="$address" --timeout="${PROMPT_SECONDS}s" \
    --max_new_tokens=96 --temperature=0.7 --top_p=0.95 --seed=$((i + 1)) \
    --statistics_file="$run_dir/statistics_$i.json" "${PROMPTS[i]}" ||
    fail "the client failed (reason above)"
done

step "How fast that was"
model=$("$client" models --json --address="$address") ||
  fail "the server does not answer"
python3 - "$read_rate" "$info" "$model" "$run_dir"/statistics_*.json << 'END' ||
import json
import statistics
import sys

read_rate = float(sys.argv[1])
info, model = json.loads(sys.argv[2]), json.loads(sys.argv[3])['models'][0]
runs = [json.load(open(path)) for path in sys.argv[4:]]
if any(run['new_tokens'] < 2 for run in runs):
  sys.exit('an answer has fewer than two tokens')
rate = statistics.median(run['tokens_per_second'] for run in runs)
first = statistics.median(run['time_to_first_token_ms_p50'] for run in runs)
# A step of one token reads the weights that the token passes through.
token_bytes = int(model['active_parameters']) * {
    'bf16': 2, 'f16': 2, 'f32': 4}[model['weight_dtype']]
share = rate * token_bytes / read_rate
print(f'''tokens/s             {rate:.1f} (median of {len(runs)} answers)
time to first token  {first:.1f} ms
memory bandwidth     {100 * share:.0f} %: {token_bytes / 1e6:.1f} MB of weights a token,\
 {rate * token_bytes / 1e9:.2f} of {read_rate / 1e9:.1f} GB/s''')
if token_bytes < 64e6:
  print('''                     (a model this small stays in the processor's caches and
                     is bound by other things; large ones are bound by memory)''')
END
  fail "the numbers could not be worked out (reason above)"

if ((ranks > 0)); then
  step "Where the tokens went"
  "$client" experts --address="$address" || fail "the server does not answer"
fi

if $keep; then
  step "The server stays"
  cat << END
process $server_pid, log in $run_dir/server.log
call it:  $client generate --address=$address "Once upon a time"
look:     $client load --address=$address
stop it:  kill -$stop_signal $server_pid
END
  exit 0
fi

step "Stopping the server (SIG$stop_signal: it finishes what runs)"
kill "-$stop_signal" "$server_pid"
await_end "$STOP_SECONDS" ||
  fail "the server still runs $STOP_SECONDS s after the signal"
status=0
wait "$server_pid" || status=$?
((status == 0)) || fail "the server ended with status $status, not 0"
server_pid=""
echo "It drained and ended with status 0. All is well."
