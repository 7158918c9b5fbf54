#!/bin/bash
# Makes the models of configs/models anew: environment, tokenizer, teacher,
# student, fp16 export, evaluation, golden losses, plot.
#
#   tools/training/retrain.sh --corpus DIR [--work DIR] [--output DIR]
#
# DIR of --corpus holds plain-text books (*.txt). An interrupted run goes on
# where it was when the same command is given again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
corpus='' work=retrain output=$repo
teacher_steps=${TEACHER_STEPS:-966}
student_steps=${STUDENT_STEPS:-431}

while (($#)); do
  case $1 in
    --corpus) corpus=$2 ;;
    --work) work=$2 ;;
    --output) output=$2 ;;
    *) echo "unknown argument: $1" >&2; exit 2 ;;
  esac
  shift 2
done
[[ -n $corpus ]] || { echo "--corpus DIR is needed" >&2; exit 2; }

mkdir -p "$work"
work=$(cd "$work" && pwd)
models=$output/configs/models
export DS_ACCELERATOR=cpu CUDA_VISIBLE_DEVICES='' THP_MEM_ALLOC_ENABLE=1

[[ -x $work/venv/bin/python ]] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q -r "$here/requirements.txt"
run() { "$work/venv/bin/python" "$here/$1" "${@:2}"; }

run train_tokenizer.py --corpus "$corpus" --output "$work/tokenizer.json"
data=(--corpus "$corpus" --tokenizer "$work/tokenizer.json")
run train.py "${data[@]}" --output "$work/teacher" \
  --steps "$teacher_steps" --resume
run train.py "${data[@]}" --output "$work/student" \
  --teacher "$work/teacher" --steps "$student_steps" --muon_lr 0.01 \
  --adam_lr 1.5e-3 --resume

ship() {  # ship RUN NAME
  rm -rf "${models:?}/$2"
  run export.py --checkpoint "$work/$1" --tokenizer "$work/tokenizer.json" \
    --output "$models/$2"
  run evaluate.py "${data[@]}" --checkpoint "$models/$2" \
    --output "$work/$2.json"
}
ship teacher prose-pr-moe
ship student prose-mos

run heldout_loss.py --corpus "$corpus" \
  --model "$models/prose-pr-moe" --model "$models/prose-mos" \
  --output "$output/tests/goldens/models/heldout.json"
run plot.py --teacher "$work/teacher" --student "$work/student" \
  --output "$output/docs/models/loss.png"
