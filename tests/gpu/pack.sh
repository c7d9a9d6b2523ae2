#!/usr/bin/env bash
# Copies what run_all.sh needs out of a build, without debug information: small
# enough to carry to a machine with a GPU.
# usage: tests/gpu/pack.sh BUILD_DIR DIR     then, there: run_all.sh DIR
set -euo pipefail
[ $# = 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$2"/{bin,lib,tests}
for file in "$1"/lib/*.so "$1"/bin/{invact,invactd,invact-relay} \
  "$1"/tests/{gpu.kernels,libinvact_fuse_check.so,libinvact_alloc_loop.so,invact_replay_events}; do
  if [ -e "$file" ]; then
    strip -o "$2/$(realpath --relative-to="$1" "$file")" "$file"
  else
    echo "not built, left out: $file" >&2
  fi
done
du -sh "$2"
