"""Fails where a built file needs more of the system than it may.

usage: check_binary.py [--libc-only] [--newest-glibc M.N] FILE
  --libc-only        ldd shows libc, libm and the loader (and the stubs that an
                     old libc keeps apart) and nothing else
  --newest-glibc M.N no imported symbol is newer than GLIBC_M.N
"""

import argparse
import re
import subprocess
import sys

from source_files import report

LIBC = re.compile(
    r"^(linux-vdso|linux-gate|ld-linux\S*|libc|libm|libdl|librt|libpthread)"
    r"\.so")


def foreign_libraries(ldd_output):
    """Names in ldd's output that are not libc's."""
    if "statically linked" in ldd_output:
        return []
    names = [line.split()[0] for line in ldd_output.splitlines() if line.split()]
    return [n for n in names if not LIBC.match(n.rsplit("/", 1)[-1])]


def newer_symbols(objdump_output, newest):
    """Imported symbols of objdump -T newer than newest, a (major, minor)."""
    found = []
    for line in objdump_output.splitlines():
        match = re.search(r"\(?GLIBC_(\d+)\.(\d+)[\d.]*\)?\s+(\S+)$", line)
        if match and (int(match[1]), int(match[2])) > newest:
            found.append(f"{match[3]} of GLIBC_{match[1]}.{match[2]}")
    return found


def output_of(*command):
    return subprocess.run(command, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--libc-only", action="store_true")
    parser.add_argument("--newest-glibc")
    parser.add_argument("file")
    args = parser.parse_args()
    errors = []
    if args.libc_only:
        for name in foreign_libraries(output_of("ldd", args.file)):
            errors.append(f"{args.file} needs {name}; link it from its archive")
    if args.newest_glibc:
        newest = tuple(int(part) for part in args.newest_glibc.split("."))
        symbols = output_of("objdump", "-T", args.file)
        if "DYNAMIC SYMBOL TABLE" not in symbols:
            errors.append(f"objdump -T shows no symbols of {args.file}")
        for symbol in newer_symbols(symbols, newest):
            errors.append(f"{args.file} imports {symbol}, newer than "
                          f"GLIBC_{args.newest_glibc}: preloading it would "
                          "kill every command on an older system")
    return report(errors)


if __name__ == "__main__":
    sys.exit(main())
