# Read by the scripts of this folder: where things are, how they speak, and how
# a build is configured. Expects $root.

say() { printf '== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit "${status:-1}"; }

# Prints the usage comment at the top of the calling script.
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

default_torch() { grep -v '^#' "$root/cmake/torch_versions.txt" | head -n 1; }

# The Python of one choice of torch, and the build folder that goes with it.
venv_of() {
  case $1 in
    none|default) echo "$root/.venv" ;;
    path:*) echo "$root/.venv-python" ;;
    *) echo "$root/.venv-$1" ;;
  esac
}
build_dir_of() {
  case $1 in
    none) echo "$root/build-quick" ;;
    default) echo "$root/build" ;;
    path:*) echo "$root/build-python" ;;
    *) echo "$root/build-torch$1" ;;
  esac
}

# The choice that --python, --torch and --quick make: none, default,
# path:/usr/bin/python3 or 2.15.0.
choice=default
choose() {
  case $1 in
    --quick) choice=none ;;
    --python)
      command -v "$2" > /dev/null ||
        status=2 die "--python $2: no such program"
      choice=path:$(command -v "$2") ;;
    --torch)
      [[ $2 =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] ||
        status=2 die "--torch $2: give a full version such as $(default_torch)"
      choice=$2
      [ "$2" != "$(default_torch)" ] || choice=default ;;
  esac
}

# configure_and_build CHOICE PRESET TARGET
configure_and_build() {
  local build python options=()
  build=$(build_dir_of "$1")
  [ "$2" != release ] || build=$build-release
  python=$(venv_of "$1")/bin/python
  options=(-DINVACT_PYTHON="$python")
  if [ "$1" = none ]; then
    options+=(-DINVACT_BUILD_PLUGIN=OFF -DINVACT_BUILD_CUDA=OFF)
  fi
  say "configure ${build#"$root"/}"
  (cd "$root" && cmake --preset "$2" -B "$build" "${options[@]}" \
    --log-level=STATUS | grep -E '^-- (plugin|CUDA|relay)|Error|Warning' >&2
    exit "${PIPESTATUS[0]}") || die "cmake failed; its words are above"
  say "build ${build#"$root"/}, target $3"
  cmake --build "$build" --target "$3" >&2 ||
    die "the build failed; its words are above"
}
