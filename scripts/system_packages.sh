# Compilers and libraries of the system. Read by scripts/setup.

install_system_packages() {
  local missing
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    install_debian_packages
  fi
  missing=$(missing_from_system)
  if [ -n "$missing" ]; then
    {
      echo "scripts/setup: missing on this machine:"
      echo "$missing" | sed 's/^/  /'
      echo "As root, scripts/setup installs them on Debian and Ubuntu. Else" \
        "ask for these packages:"
      echo "  apt-get install" $(grep -v '^#' "$root/scripts/debian_packages.txt")
      echo "or name the folders that have them in CMAKE_PREFIX_PATH and PATH."
    } >&2
    exit 2
  fi
}

install_debian_packages() {
  local wanted absent size
  wanted=$(grep -v '^#' "$root/scripts/debian_packages.txt")
  # shellcheck disable=SC2086
  absent=$(
    { dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2> /dev/null ||
      true; } |
      sed -n 's/^installed //p' | sort -u |
      comm -13 - <(printf '%s\n' $wanted | sort -u))
  [ -n "$absent" ] || return 0
  say "apt-get update"
  apt-get -o DPkg::Lock::Timeout=120 update -qq >&2
  # shellcheck disable=SC2086
  size=$(apt-get install --no-install-recommends --assume-no $absent 2> /dev/null |
    sed -n 's/^Need to get \(.*\) of archives.*/\1/p' || true)
  say "Debian packages, ${size:-nothing} to download:" $absent
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 \
    install -y -qq \
    --no-install-recommends -o Dpkg::Use-Pty=0 $absent > /dev/null
}

# One line for each thing that the build needs and that is nowhere.
missing_from_system() {
  local tool library package header
  for tool in cmake ninja g++ pkg-config protoc grpc_cpp_plugin python3 objdump; do
    command -v "$tool" > /dev/null || echo "program $tool"
  done
  if command -v cmake > /dev/null &&
      ! printf '%s\n3.25\n' "$(cmake --version | sed -n '1s/[^0-9]*//p')" |
        sort -V | head -n 1 | grep -qx 3.25; then
    echo "program cmake 3.25 or newer"
  fi
  if command -v python3 > /dev/null && ! command -v uv > /dev/null &&
      ! python3 -c 'import ensurepip, venv' 2> /dev/null; then
    echo "program uv, or python3's modules ensurepip and venv"
  fi
  command -v g++ > /dev/null && command -v pkg-config > /dev/null || return 0
  for package in grpc++ protobuf sqlite3 openssl; do
    PKG_CONFIG_PATH=$(prefixes /lib/pkgconfig):${PKG_CONFIG_PATH:-} \
      pkg-config --exists "$package" || echo "library $package (pkg-config)"
  done
  for library in grpc++ grpc++_reflection grpc protobuf sqlite3 ssl crypto \
      cares re2 z absl_strings; do
    has_archive "$library" || echo "archive lib$library.a"
  done
  missing_headers
}

# CMAKE_PREFIX_PATH's folders with a suffix, joined by colons.
prefixes() {
  local folder out= paths=${CMAKE_PREFIX_PATH:-} IFS=:
  paths=${paths//;/:}
  for folder in $paths; do out+=$folder$1:; done
  echo "${out%:}"
}

has_archive() {
  local folder IFS=:
  [ "$(g++ -print-file-name="lib$1.a")" = "lib$1.a" ] || return 0
  for folder in $(prefixes /lib):$(prefixes /lib64); do
    [ ! -e "$folder/lib$1.a" ] || return 0
  done
  return 1
}

missing_headers() {
  local header
  for header in CLI/CLI.hpp spdlog/spdlog.h fmt/format.h nlohmann/json.hpp \
      toml++/toml.h gtest/gtest.h gmock/gmock.h boost/beast/core.hpp; do
    printf '#if !__has_include(<%s>)\nheader %s\n#endif\n' "$header" "$header"
  done | CPLUS_INCLUDE_PATH=$(prefixes /include):${CPLUS_INCLUDE_PATH:-} \
    g++ -std=c++20 -E -P -x c++ - | sed '/^$/d; s/ *\/ */\//g'
}
