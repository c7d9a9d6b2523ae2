import pathlib
import sys

HERE = pathlib.Path(__file__).parent
TESTS = HERE.parents[1]
sys.path[:0] = [str(HERE), str(TESTS / "support"),
                str(TESTS / "integration" / "ledger")]
