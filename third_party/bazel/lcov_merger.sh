#!/bin/bash
# The end of each test under `bazel coverage`: its .gcda files to one lcov file.
for arg; do
  case $arg in
    --coverage_dir=*) dir=${arg#*=} ;;
    --output_file=*) out=${arg#*=} ;;
  esac
done
# Bazel puts a .gcno beside the .gcda of each source that it was asked to cover.
for gcda in $(find "$dir" -name '*.gcda'); do
  [[ -f ${gcda%.gcda}.gcno ]] || rm "$gcda"
done
[[ -n $(find "$dir" -name '*.gcda') ]] || exit 0
{
  lcov --capture --directory "$dir" --base-directory "$ROOT" --ignore-errors source -o "$dir/all.info"
  lcov --extract "$dir/all.info" "$ROOT/*" -o "$dir/own.info"
  lcov --remove "$dir/own.info" '*/external/*' '*/bazel-out/*' '*_test.cc' -o "$dir/src.info"
  sed "s|^SF:$ROOT/|SF:|" "$dir/src.info" > "$out"
} &> "$dir/lcov.log" || true
