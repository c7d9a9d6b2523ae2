# A Python of the project's own with torch, nvcc, pytest. Read by scripts/setup.

# Certificates of the system, as apt and pip use them: some networks need it.
export UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true

# uv from PATH, else from a small environment of its own.
find_uv() {
  local own=$root/.cache/uv
  if command -v uv > /dev/null; then
    command -v uv
    return
  fi
  if [ ! -x "$own/bin/uv" ]; then
    say "uv from PyPI into .cache/uv (25 MB)"
    python3 -m venv "$own" >&2 && "$own/bin/python" -m pip install -q uv >&2 ||
      die "no uv: install it, or python3-venv for python3 -m venv"
  fi
  echo "$own/bin/uv"
}

install_python_packages() {
  local choice=$1 venv stamp wanted uv
  case $choice in
    path:*) torch_facts "${choice#path:}" > /dev/null ||
      status=2 die "--python ${choice#path:}: it has no torch" ;;
  esac
  venv=$(venv_of "$choice")
  stamp=$venv/.invact
  wanted=$(printf '%s\n' "$choice" "$(torch_requirements "$choice")"
    cat "$root/scripts/requirements.txt")
  # The default environment is also good for those who need no torch.
  if [ "$choice" = none ] && [ -e "$stamp" ] &&
      grep -q '^torch==' "$stamp"; then
    wanted=$(printf 'default\n%s\n' "$(torch_requirements default)"
      cat "$root/scripts/requirements.txt")
  fi
  if [ -e "$stamp" ] && [ "$wanted" = "$(cat "$stamp")" ]; then
    return
  fi
  uv=$(find_uv)
  if [ ! -x "$venv/bin/python" ]; then
    say "Python environment ${venv#"$root"/}"
    "$uv" venv -q --python "$(base_python "$choice")" "$venv"
  fi
  case $choice in
    path:*) import_torch_of "${choice#path:}" "$venv" ;;
  esac
  say "PyPI packages for ${venv#"$root"/}: $(download_of "$choice")"
  # shellcheck disable=SC2046
  "$uv" pip install --python "$venv/bin/python" \
    $(torch_requirements "$choice") -r "$root/scripts/requirements.txt" >&2
  printf '%s\n' "$wanted" > "$stamp"
}

# What PyPI gives for this choice besides requirements.txt. torch pins the CUDA
# toolkit of its own minor version, so nvcc fits it.
torch_requirements() {
  local nvcc='cuda-toolkit[nvcc,crt,nvvm,cudart,cupti,cccl]' version
  case $1 in
    none) ;;
    default) echo "torch==$(default_torch) $nvcc" ;;
    path:*)
      has_nvcc && return
      version=$(torch_facts "${1#path:}" | sed -n 3p)
      case $version in
        1[3-9].*) echo "$nvcc==$version.*" ;;
      esac ;;
    *) echo "torch==$1 $nvcc" ;;
  esac
}

download_of() {
  case $1 in
    none) echo "pytest, grpcio, transformers (60 MB unless cached)" ;;
    path:*) echo "$(torch_requirements "$1") pytest, grpcio, transformers" \
      "(60 MB, with nvcc 400 MB, unless cached; no torch)" ;;
    *) echo "$(torch_requirements "$1") and pytest, grpcio, transformers" \
      "(about 3 GB, 5.5 GB on disk, unless cached)" ;;
  esac
}

has_nvcc() {
  [ -n "${CUDACXX:-}" ] || command -v nvcc > /dev/null ||
    [ -x /usr/local/cuda/bin/nvcc ]
}

# Where another Python has torch, that torch's version, its CUDA version (empty
# where it has none), one a line. Does not import torch, which takes seconds.
torch_facts() {
  "$1" - <<'END'
import importlib.util
import os
import runpy
import sys

spec = importlib.util.find_spec("torch")
if spec is None:
    sys.exit(1)
folder = spec.submodule_search_locations[0]
version = runpy.run_path(os.path.join(folder, "version.py"))
print(os.path.dirname(folder), version["__version__"], version["cuda"] or "",
      sep="\n")
END
}

base_python() {
  local python=python3
  case $1 in
    path:*) python=${1#path:} ;;
  esac
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    status=2 die "$python is older than Python 3.11; name another by --python"
  "$python" -c 'import sys; print(sys.executable)'
}

# Makes the torch of another Python importable in the environment, and leaves
# that Python as it is.
import_torch_of() {
  local facts
  facts=$(torch_facts "$1")
  say "torch $(sed -n 2p <<< "$facts") of $1"
  sed -n 1p <<< "$facts" > "$("$2/bin/python" -c "import sysconfig
print(sysconfig.get_path('purelib'))")/invact_torch.pth"
}
