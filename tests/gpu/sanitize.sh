#!/usr/bin/env bash
# Runs the GPU kernel tests under compute-sanitizer: memcheck, racecheck and
# initcheck, about 15 seconds in all.
# usage: [COMPUTE_SANITIZER=FILE] [PYTHON=python3] tests/gpu/sanitize.sh BUILD_DIR
# Finds the tool in COMPUTE_SANITIZER, on PATH, in a CUDA toolkit (CUDA_HOME,
# /usr/local/cuda) or in a CUDA package of PYTHON. Exits 1 where a tool reports
# an error, 77 where there is no tool or no GPU.
set -uo pipefail
[ $# = 1 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
build=$(cd "$1" && pwd) || exit 2
tests=$build/tests/gpu.kernels
[ -x "$tests" ] || { echo "not built: $tests" >&2; exit 2; }

# The first that can be run; where it was looked for is said if none can.
find_tool() {
  local place packages
  packages=$("${PYTHON:-python3}" -c \
    'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null)
  for place in "${COMPUTE_SANITIZER:-}" \
    "$(command -v compute-sanitizer)" \
    "${CUDA_HOME:-/usr/local/cuda}"/bin/compute-sanitizer \
    /usr/local/cuda*/compute-sanitizer/compute-sanitizer \
    "$packages"/nvidia/cu*/bin/compute-sanitizer \
    "$packages"/nvidia/cu*/compute-sanitizer/compute-sanitizer; do
    [ -f "$place" ] && [ -x "$place" ] && { echo "$place"; return 0; }
  done
  return 1
}
tool=$(find_tool) || {
  echo "skipped: no compute-sanitizer in COMPUTE_SANITIZER, on PATH, in" \
    "${CUDA_HOME:-/usr/local/cuda} or in Python's CUDA packages (next: install" \
    "the CUDA toolkit's compute-sanitizer, or name it in COMPUTE_SANITIZER)"
  exit 77
}
echo "$("$tool" --version | tail -1) at $tool"

# Every kernel at all lengths and offsets to 65, tables at tails of large
# tensors as well, and over all values. Racecheck
# takes long over a launch: all kernels, but a few launches of each.
lengths='*EveryLengthAndOffset*:*OutputsMayReplace*'
failed=()
# check TOOL SECONDS FILTER [OPTIONS...]
check() {
  local name=$1 seconds=$2 filter=$3 begin=$SECONDS status
  shift 3
  echo "== $name"
  timeout --kill-after=10 "$seconds" "$tool" --tool "$name" \
    --error-exitcode 99 "$@" "$tests" --gtest_brief=1 \
    "--gtest_filter=$filter" 2>&1 | tail -25
  status=${PIPESTATUS[0]}
  if [ "$status" = 77 ]; then
    echo "skipped: no CUDA device"
    exit 77
  fi
  [ "$status" = 0 ] || failed+=("$name (exit $status)")
  echo "== $name: exit $status after $((SECONDS - begin)) s"
}
check memcheck 80 "$lengths:*Tail*:*BitInY*:*CudaOnePass*:*GradientAfterItsOwnForward*"
check racecheck 110 "*OutputsMayReplace*"
check initcheck 80 "$lengths:*Tail*:*BitInY*:*CudaOnePass*"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all clean"
