"""Kernel libraries of others: a good one is served, every other one is refused
with its reason and leaves the job as it was."""

import os
import pathlib
import subprocess

import pytest

from job import ROOT, Workplace

EXAMPLE = ROOT / "examples" / "kernel"
GOOD = (EXAMPLE / "quick_gelu.c").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with Workplace(tmp_path_factory.mktemp("plugins")) as workplace:
        workplace.start_daemon()
        yield workplace


@pytest.fixture(scope="module")
def plain(place):
    return place.plain(EXAMPLE / "train_quick_gelu.py").check()


def compiled(folder, source):
    """A library of a changed quick_gelu.c."""
    code, library = folder / "kernel.c", folder / "libkernel.so"
    code.write_text(source, encoding="utf-8")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC",
                    f"-I{ROOT}", "-o", library, code, "-lm"], check=True)
    return library


def changed(old, new):
    assert old in GOOD, old
    return GOOD.replace(old, new)


def attached(place, library):
    return place.attached(EXAMPLE / "train_quick_gelu.py", policy="invert",
                          env={"INVACT_KERNELS": str(library)}).check()


def losses(result):
    return [float(line.split()[3]) for line in result.stdout.splitlines()]


def test_the_example_is_built_alone_and_served(place, plain, tmp_path):
    build = tmp_path / "build"
    subprocess.run(["cmake", "-S", EXAMPLE, "-B", build], check=True,
                   capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True,
                   capture_output=True)
    seen = attached(place, build / "libquick_gelu.so")
    report = place.report(seen)
    (layer,) = [layer for layer in report["layers"]
                if layer["action"] == "invert"]
    assert (layer["name"], layer["op"]) == ("1", "example::quick_gelu")
    assert layer["baseline_bytes"] == 256 * 512 * 2
    assert layer["held_bytes"] == layer["side_bytes"] == 256 * 512 // 8
    assert losses(seen) == pytest.approx(losses(plain), rel=0.02, abs=5e-4)
    lines = len((EXAMPLE / "CMakeLists.txt").read_text().splitlines())
    assert lines < 100


REGISTER = "registry->add(registry->ctx, &kQuickGelu);"
# Refused when they are loaded: one job loads them all.
REFUSED = {
    "another abi": (changed("registry->abi != INVACT_KERNEL_ABI",
                            "registry->abi != 1"),
                    "is no kernel library of this version"),
    "no entry": (changed("int invact_register_kernels", "int register_nothing"),
                 "is no kernel library of this version"),
    "a null activation": (changed(REGISTER,
                                  "registry->add(registry->ctx, NULL);"),
                          "it is a null pointer"),
    "another struct": (changed(".size = sizeof(struct invact_activation),",
                               ".size = 40,"),
                       "it is of another version of kernel_api.h"),
    "no backward": (changed("    .backward = Backward,\n", ""),
                    "backward or reconstruct is a null pointer"),
    "no forward or mark": (changed("    .mark = Mark,\n", ""),
                           "forward is a null pointer"),
    "no prepare": (changed("    .prepare = Prepare,\n", ""),
                   "prepare is a null pointer"),
    "no bound": (changed(".error_max = {0, 1.6e-2, 6e-3}",
                         ".error_max = {0, 0.0 / 0.0, 6e-3}"),
                 "its stated errors are no bounds"),
    "many bits": (changed(".side_bits = 1", ".side_bits = 7"),
                  "more than one side bit"),
    "no op": (changed('.op = "example::quick_gelu"', ".op = NULL"),
              "no op name"),
    "a table of float32": (changed(
        ".table_dtypes = 1u << INVACT_BF16 | 1u << INVACT_F16",
        ".table_dtypes = 1u << INVACT_F32"), "table_dtypes"),
}
# All of its outputs are 1.
WRONG_FORWARD = changed(
    "    .mark = Mark,\n",
    "    .mark = Mark, .forward = Forward, .forward_exact = 2,\n").replace(
        "static const struct invact_activation",
        "static int Forward(const struct invact_call* call, const void* x,"
        " void* y, void* side, int64_t n) {\n"
        "  for (int64_t i = 0; i < n; ++i) ((uint16_t*)y)[i] = 0x3f80;\n"
        "  return Mark(call, x, y, side, n);\n}\n"
        "static const struct invact_activation")
# Refused by the check before they are used.
FAILED = {
    "a bound that it misses": (changed("{0, 1.6e-2, 6e-3}",
                                       "{0, 1.2e-2, 6e-3}"),
                               "largest gradient error"),
    "a wrong gradient": (changed("gradient * slope[Code(y, side, i)]",
                                 "gradient * slope[Code(y, side, i)] * 0.9f"),
                         "largest gradient error"),
    "an error that it returns": (changed(
        "const float* slope = slope_of[call->dtype - INVACT_BF16];",
        "return 7; const float* slope = slope_of[0];"),
        "the backward kernel failed with error 7"),
    "a gradient that is NaN": (changed(
        "slope_of[of][code] = (low[code] + high[code]) / 2;",
        "slope_of[of][code] = code % 99 ? (low[code] + high[code]) / 2 : NAN;"),
        "gradients are not finite where PyTorch's are"),
    "a forward that is not PyTorch's": (
        WRONG_FORWARD,
        "outputs differ from PyTorch's"),
}


def reasons(seen, text):
    return [line for line in seen.stderr.splitlines()
            if line.startswith("invact: ") and text in line]


def test_bad_libraries_are_refused_and_the_job_is_as_it_was(
        place, plain, tmp_path):
    libraries = {}
    for number, (name, (source, _)) in enumerate(REFUSED.items()):
        (tmp_path / str(number)).mkdir()
        libraries[name] = compiled(tmp_path / str(number), source)
    seen = attached(place, ",".join(map(str, libraries.values())))
    assert seen.stdout == plain.stdout
    for name, (_, reason) in REFUSED.items():
        (said,) = reasons(seen, str(libraries[name]))
        assert reason in said, name


@pytest.mark.parametrize("name", FAILED)
def test_kernels_that_fail_their_check_are_left_alone(
        place, plain, tmp_path, name):
    source, reason = FAILED[name]
    seen = attached(place, compiled(tmp_path, source))
    assert seen.stdout == plain.stdout
    (said,) = reasons(seen, "keeps PyTorch's own kernel")
    assert reason in said
    assert "example::quick_gelu in bfloat16 on cpu" in said
    (layer,) = [layer for layer in place.report(seen)["layers"]
                if layer["declined"]]
    assert layer["declined"] == "CALIBRATION_FAILED"


def test_a_forward_by_formula_gives_way_where_it_is_not_pytorchs(
        place, plain, tmp_path):
    """PyTorch's forward and `mark` do as well: outputs are eager's."""
    source = WRONG_FORWARD.replace(
        ".forward_exact = 2,",
        ".forward_exact = 2, .flags = INVACT_FORWARD_BY_FORMULA,")
    assert "INVACT_FORWARD_BY_FORMULA" in source
    seen = attached(place, compiled(tmp_path, source))
    assert losses(seen)[0] == losses(plain)[0]
    assert losses(seen) == pytest.approx(losses(plain), rel=0.02, abs=5e-4)
    assert "quick_gelu" in [layer["op"].split("::")[-1]
                            for layer in place.report(seen)["layers"]
                            if layer["action"] == "invert"]
    assert not reasons(seen, "keeps PyTorch's own kernel")


def test_a_missing_library_and_one_that_is_none(place, plain, tmp_path):
    for path in (tmp_path / "nowhere.so", pathlib.Path(__file__)):
        seen = attached(place, path)
        assert seen.stdout == plain.stdout
        (line,) = [line for line in seen.stderr.splitlines()
                   if str(path) in line]
        assert "kernel library not loaded" in line
        assert "check INVACT_KERNELS" in line
