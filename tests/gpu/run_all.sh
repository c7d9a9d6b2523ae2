#!/usr/bin/env bash
# Runs every GPU test and benchmark: about nine minutes on one H100.
# usage: [PYTHON=python3] [OUT=DIR] tests/gpu/run_all.sh BUILD_DIR
# Leaves in OUT (default: BUILD_DIR/gpu-results) run_all.log and a JSON file each
# of kernels, bandwidth, small, fuse, models, rebuild, digest, events, doors,
# calibration, jobs, costs, host_step and rivals. Exits 1 where a criterion failed, 77 without a GPU.
# BUILD_DIR may be a copy: bin/, lib/ and what pack.sh takes of tests/ do.
set -uo pipefail
[ $# = 1 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) || exit 2
python=${PYTHON:-python3}
export OUT=${OUT:-$build/gpu-results}
export INVACT_BUILD_DIR=$build INVACT_LIB_DIR=$build/lib PYTHONUNBUFFERED=1
export PYTHONDONTWRITEBYTECODE=1
# Attached jobs keep their state here, out of the user's own.
INVACT_STATE_DIR=$(mktemp -d)
export INVACT_STATE_DIR
trap 'rm -rf "$INVACT_STATE_DIR"' EXIT
mkdir -p "$OUT"
: > "$OUT/run_all.log"

"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || {
  echo "skipped: no CUDA device" | tee -a "$OUT/run_all.log"
  exit 77
}

failed=()
# step NAME SECONDS COMMAND...
step() {
  local name=$1 seconds=$2 begin=$SECONDS
  shift 2
  echo "== $name" | tee -a "$OUT/run_all.log"
  timeout --kill-after=10 "$seconds" "$@" 2>&1 | tee -a "$OUT/run_all.log"
  local status=${PIPESTATUS[0]}
  [ "$status" = 0 ] || failed+=("$name (exit $status)")
  echo "== $name: exit $status after $((SECONDS - begin)) s" |
    tee -a "$OUT/run_all.log"
}

step kernels 90 "$build/tests/gpu.kernels" --gtest_brief=1 \
  "--gtest_output=json:$OUT/kernels.json"
step bandwidth 100 "$python" "$here/kernels/bench_kernels.py"
step small 180 "$python" "$here/kernels/bench_small.py"
step fuse 90 "$python" "$here/fuse/check_fuse.py"
step models 160 "$python" "$here/models/run_models.py"
step rebuild 160 "$python" "$here/rebuild/check_rebuild.py"
step digest 90 "$python" "$here/digest/check_digest.py"
step events 400 "$python" "$here/events/check_events.py"
step doors 100 "$python" "$here/doors/open_doors.py"
step calibration 150 "$python" "$here/jobs/check_calibration.py"
step jobs 160 "$python" "$here/jobs/compare_jobs.py"
# The processor's part, here for a machine that does nothing else.
step costs 70 "$python" "$here/../bench/plugin/bench_costs.py" --rounds 60 \
  --json "$OUT/costs.json"
step host_step 60 "$python" "$here/../bench/plugin/bench_step.py" --rounds 80 \
  --layers 6 --json "$OUT/host_step.json"
step rivals 100 "$python" "$here/../bench/kernels/bench_rivals.py"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}" | tee -a "$OUT/run_all.log"
  exit 1
fi
echo "all passed" | tee -a "$OUT/run_all.log"
