"""Fails where a folder includes what its part of the design may not know.

usage: check_includes.py ROOT
"""

import re
import sys

from source_files import read, report, walk

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)

TORCH = r"(torch|ATen|c10|caffe2)/"
CUDA = r"(cuda\w*|driver_types|nvtx3/.*|cub/.*|thrust/.*)(\.h|\.hpp|\.cuh)?$"
CUPTI = r"cupti"
GENERATED = r".*\.pb\.h$"
GRPC = r"(grpc|grpcpp|grpc\+\+|google|absl)/"
SQLITE = r"sqlite3"
PYTHON = r"(Python\.h|pybind11/)"
OURS = r"(proto|kernels|plugin|daemon|dashboard|tests|examples)/"

# Folder -> (what it may never include, which of OURS it may include).
# The longest folder that matches a file counts.
RULES = {
    "proto": ((TORCH, CUDA, CUPTI, GRPC, SQLITE, PYTHON), ("proto",)),
    "kernels": ((TORCH, GRPC, GENERATED, SQLITE, PYTHON, CUPTI),
                ("kernels",)),
    "plugin": ((GRPC, GENERATED, SQLITE, PYTHON, CUPTI),
               ("plugin", "kernels", "proto")),
    "plugin/python": ((GRPC, GENERATED, SQLITE, CUPTI),
                      ("plugin", "kernels", "proto")),
    "plugin/gpu": ((GRPC, GENERATED, SQLITE, PYTHON),
                   ("plugin", "kernels", "proto")),
    "plugin/attach": ((TORCH, CUDA, CUPTI, GRPC, GENERATED, SQLITE, PYTHON),
                      ("plugin", "proto")),
    "plugin/ring": ((TORCH, CUDA, CUPTI, GRPC, GENERATED, SQLITE, PYTHON),
                    ("plugin", "proto")),
    "plugin/relay": ((TORCH, CUDA, CUPTI, SQLITE, PYTHON),
                     ("proto", "plugin/ring", "plugin/relay")),
    "daemon": ((TORCH, CUDA, CUPTI, SQLITE, PYTHON), ("daemon", "proto")),
    "daemon/store": ((TORCH, CUDA, CUPTI, PYTHON), ("daemon", "proto")),
    "examples": ((GRPC, SQLITE), ()),
    # Built by others, elsewhere: the one header, no torch.
    "examples/kernel": ((TORCH, GRPC, GENERATED, SQLITE, PYTHON, CUPTI),
                        ("kernels",)),
}


def rule_of(path):
    matching = [f for f in RULES if path.startswith(f + "/")]
    return RULES[max(matching, key=len)] if matching else None


def check(root):
    errors = []
    for path in walk(root, ".h", ".cc", ".c", ".cpp", ".cu", ".cuh"):
        rule = rule_of(path)
        if rule is None:
            continue
        never, ours = rule
        for header in INCLUDE.findall(read(root, path)):
            foreign = any(re.match(pattern, header) for pattern in never)
            closed = re.match(OURS, header) and not any(
                header.startswith(folder + "/") for folder in ours)
            if foreign or closed:
                errors.append(f"{path}: may not include {header}: its folder "
                              "is kept apart from that (tests/build/"
                              "check_includes.py has the table)")
    return errors


if __name__ == "__main__":
    sys.exit(report(check(sys.argv[1])))
