"""The checkers of this folder refuse what they are there to refuse."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import check_binary
import check_calls
import check_docs
import check_format
import check_includes
import check_install
import check_listed
import check_readme


def write(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize("path, header", [
    ("plugin/ledger/x.cc", "grpcpp/grpcpp.h"),
    ("plugin/ledger/x.cc", "absl/status/status.h"),
    ("plugin/ledger/x.cc", "invact/v1/run.pb.h"),
    ("plugin/ledger/x.cc", "daemon/store/store.h"),
    ("plugin/ledger/x.cc", "cupti.h"),
    ("plugin/observe/x.cc", "Python.h"),
    ("plugin/ring/x.h", "ATen/ATen.h"),
    ("plugin/attach/x.c", "c10/core/Device.h"),
    ("plugin/relay/x.cc", "torch/torch.h"),
    ("plugin/relay/x.cc", "plugin/ledger/ledger.h"),
    ("plugin/relay/x.cc", "sqlite3.h"),
    ("daemon/ingest/x.cc", "sqlite3.h"),
    ("daemon/cli/x.cc", "plugin/ring/ring_layout.h"),
    ("daemon/cli/x.cc", "cuda_runtime.h"),
    ("kernels/cpu/x.cc", "ATen/ATen.h"),
    ("kernels/cuda/x.cu", "proto/codes.h"),
    ("proto/x.h", "plugin/config.h"),
    ("daemon/cli/x.cc", "tests/support/x.h"),
    ("examples/cpp/x.cc", "plugin/config.h"),
])
def test_a_forbidden_include_is_reported(tmp_path, path, header):
    write(tmp_path, path, f'#include <vector>\n#include "{header}"\n')

    errors = check_includes.check(tmp_path)

    assert len(errors) == 1 and path in errors[0] and header in errors[0]


@pytest.mark.parametrize("path, header", [
    ("plugin/ledger/x.cc", "ATen/ATen.h"),
    ("plugin/ledger/x.cc", "proto/codes.h"),
    ("plugin/relay/x.cc", "grpcpp/grpcpp.h"),
    ("plugin/relay/x.cc", "plugin/ring/ring_layout.h"),
    ("plugin/python/x.cc", "Python.h"),
    ("plugin/gpu/x.cc", "cupti.h"),
    ("daemon/store/x.cc", "sqlite3.h"),
    ("kernels/cuda/x.cu", "cuda_bf16.h"),
    ("tests/unit/x.cc", "plugin/config.h"),
    ("build/generated/x.h", "torch/torch.h"),
])
def test_an_allowed_include_passes(tmp_path, path, header):
    write(tmp_path, path, f"#include <{header}>\n")

    assert check_includes.check(tmp_path) == []


@pytest.mark.parametrize("path, line", [
    ("daemon/store/x.cc", 'const char* p = getenv("A");'),
    ("plugin/observe/x.cc", 'auto p = std::getenv("A");'),
    ("plugin/attach/other.c", 'getenv("A");'),
    ("plugin/observe/x.cc", "std::exit(1);"),
    ("plugin/observe/x.cc", "if (bad) abort();"),
    ("kernels/cpu/x.cc", "assert(n > 0);"),
    ("plugin/ledger/x.cc", 'printf("x");'),
    ("plugin/ledger/x.cc", "std::cout << 1;"),
])
def test_a_forbidden_call_is_reported_with_its_line(tmp_path, path, line):
    write(tmp_path, path, f"\n{line}\n")

    errors = check_calls.check(tmp_path)

    assert len(errors) == 1 and f"{path}:2" in errors[0]


@pytest.mark.parametrize("path, line", [
    ("daemon/options.cc", 'getenv("A");'),
    ("plugin/config.cc", 'getenv("A");'),
    ("plugin/attach/attach.c", 'getenv("A");'),
    ("plugin/relay/main.cc", "exit(1);"),
    ("plugin/observe/x.cc", "// never call exit() or abort() here"),
    ("plugin/observe/x.cc", 'Say("a job may exit() here");'),
    ("plugin/observe/x.cc", "static_assert(sizeof(int) == 4);"),
    ("plugin/observe/x.cc", "thread.on_exit();"),
    ("plugin/observe/x.cc", "std::fprintf(stderr, text);"),
    ("plugin/observe/x.cc", "std::snprintf(buffer, size, text);"),
])
def test_an_allowed_call_passes(tmp_path, path, line):
    write(tmp_path, path, line + "\n")

    assert check_calls.check(tmp_path) == []


def test_a_file_that_is_not_formatted_is_reported(tmp_path):
    write(tmp_path, ".clang-format", "BasedOnStyle: Google\n")
    write(tmp_path, "plugin/good.cc", "int main() { return 0; }\n")
    write(tmp_path, "plugin/bad.cc", "int main( ) {return 0;}\n")

    errors = check_format.check(tmp_path)

    assert len(errors) == 1 and "plugin/bad.cc" in errors[0]


def test_a_test_in_no_list_is_reported(tmp_path):
    write(tmp_path, "tests/unit/a/listed_test.cc", "")
    write(tmp_path, "tests/unit/a/commented_test.cc", "")
    write(tmp_path, "tests/integration/b_test.py", "")
    write(tmp_path, "tests/integration/c_test.py", "")
    write(tmp_path, "tests/unit/a/CMakeLists.txt",
          "invact_test(a SOURCES listed_test.cc)\n# commented_test.cc\n")
    write(tmp_path, "tests/integration/CMakeLists.txt",
          "invact_pytest(b FILE tests/integration/b_test.py)\n")

    errors = check_listed.check(tmp_path)

    assert [e.split(":")[0] for e in errors] == [
        "tests/integration/c_test.py", "tests/unit/a/commented_test.cc"]


def test_a_readme_that_misses_a_torch_version_is_reported(tmp_path):
    write(tmp_path, "cmake/torch_versions.txt", "# x\n2.11.0 13.0\n2.15.0 13\n")
    write(tmp_path, "README.md", "Works with torch 2.11.\n")

    errors = check_readme.check(tmp_path)

    assert len(errors) == 1 and "2.15.0" in errors[0]


CONFIG = 'constexpr const char* kKeys[] = {"INVACT_LOG", "INVACT_EXACT"};\n'


def write_docs(root, text):
    write(root, "plugin/config.cc", CONFIG)
    write(root, "daemon/store/schema_v1.h", 'R"sql(CREATE TABLE r (a, b);'
          'CREATE VIEW runs_v1 AS SELECT a, b FROM r;)sql"')
    write(root, "docs/storage.md", "**`runs_v1`** has `a`, `b`.\n\n")
    write(root, "docs/attach.md", "`INVACT_LOG` and `INVACT_EXACT`.\n" + text)


@pytest.mark.parametrize("text, named", [
    ("See [store](store.md).", "store.md"),
    ("The text of `plugin/log.cc`.", "plugin/log.cc"),
    ("Set `INVACT_LGO`.", "INVACT_LGO"),
    ("Run `invact ls --jsn`.", "--jsn"),
    ("Run `invact sl`.", "invact sl"),
    ("```sh\nx && invact \\\n  ls --jsn\n```", "--jsn"),
    ("Run `scripts/setup --tork 2`.", "--tork"),
])
def test_a_document_that_names_what_is_not_there_is_reported(
        tmp_path, text, named):
    write_docs(tmp_path, text)
    write(tmp_path, "scripts/setup", "#!/bin/sh\necho --torch\n")
    (tmp_path / "scripts/setup").chmod(0o755)
    write(tmp_path, "bin/invact", '#!/bin/sh\n[ "$1" != sl ] && echo --json\n')
    (tmp_path / "bin/invact").chmod(0o755)

    errors = check_docs.check(
        str(tmp_path), {"invact": str(tmp_path / "bin/invact")})

    assert len(errors) == 1 and named in errors[0]


def test_a_document_that_names_what_is_there_passes(tmp_path):
    write_docs(tmp_path, "Like `plugin/config.cc`, `plugin/*.cc`,\n"
               "`invact ls --json`, `invact run -- python x.py --epochs 3`.")
    write(tmp_path, "bin/invact", "#!/bin/sh\necho --json\n")
    (tmp_path / "bin/invact").chmod(0o755)

    assert check_docs.check(
        str(tmp_path), {"invact": str(tmp_path / "bin/invact")}) == []


def test_a_key_that_no_document_explains_is_reported(tmp_path):
    write_docs(tmp_path, "")
    write(tmp_path, "docs/attach.md", "`INVACT_LOG`.\n")

    errors = check_docs.check(str(tmp_path), {})

    assert len(errors) == 1 and "INVACT_EXACT" in errors[0]


def test_a_column_that_no_document_names_is_reported(tmp_path):
    write_docs(tmp_path, "")
    write(tmp_path, "docs/storage.md", "**`runs_v1`** has `a`.\n\n`b`\n\n")

    errors = check_docs.check(str(tmp_path), {})

    assert len(errors) == 1 and "column b" in errors[0]


def test_a_library_other_than_libc_is_reported():
    assert check_binary.foreign_libraries(
        "\tlinux-vdso.so.1 (0x7f)\n"
        "\tlibm.so.6 => /lib/libm.so.6 (0x7f)\n"
        "\tlibstdc++.so.6 => /lib/libstdc++.so.6 (0x7f)\n"
        "\tlibz.so.1 => not found\n"
        "\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n"
        "\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n") == [
            "libstdc++.so.6", "libz.so.1"]


def test_a_symbol_newer_than_the_limit_is_reported():
    table = (
        "0000 DF *UND* 0000 (GLIBC_2.2.5) free\n"
        "0000 DF *UND* 0000 (GLIBC_2.34) dlsym\n"
        "0000 DF *UND* 0000 (GLIBC_2.17) clock_gettime\n"
        "0000 DF *UND* 0000  GLIBC_2.33  fstat\n")

    assert check_binary.newer_symbols(table, (2, 17)) == [
        "dlsym of GLIBC_2.34", "fstat of GLIBC_2.33"]


def test_a_file_missing_from_a_prefix_is_reported(tmp_path):
    assert check_install.check_prefix(str(tmp_path), ["invact"]) == [
        "bin/invact was not installed"]
