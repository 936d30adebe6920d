import subprocess
import sys

from graphql_api.kit import collector


class TestSpare:
    def test_what_is_loaded_is_not_looked_at_again(self) -> None:
        program = (
            "import gc; from graphql_api.kit import collector; before = gc.get_freeze_count(); collector.spare();"
            "print(before, gc.get_freeze_count() > 1000, gc.get_threshold(), gc.isenabled())"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

        assert done.stdout == f"0 True {collector.THRESHOLDS} True\n"


class TestRetire:
    def test_what_is_left_at_the_end_is_not_looked_at(self) -> None:
        program = (
            "import gc; from graphql_api.kit import collector; left = []; left.append(left); del left;"
            "collector.retire(); print(gc.collect())"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

        assert done.stdout == "0\n"
