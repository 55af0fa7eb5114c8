"""The README: its Python runs, in order, and its commands are those of continuous integration."""

import os
import re
import subprocess
import sys
from pathlib import Path

from geodask.config import DEFAULTS

ROOT = Path(__file__).parents[1]
CLONE = "git clone https://github.com/geodask/geodask && cd geodask && "


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", readme(), re.MULTILINE | re.DOTALL)


def test_the_python_blocks_run_in_order(tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks("python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=os.environ | {"DASK_GEODASK__STORE": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_the_two_commands_are_those_of_continuous_integration() -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace(" || exit\n", "\n").splitlines()
    after_the_clone = [line.removeprefix(CLONE) for line in commands if line.startswith(CLONE)]
    assert len(after_the_clone) == 2
    assert all(command in ci for command in after_the_clone)
    assert ci[-1] == after_the_clone[1]


def test_the_table_of_settings_is_complete() -> None:
    assert set(re.findall(r"^\| `geodask\.(.+?)`", readme(), re.MULTILINE)) == set(DEFAULTS)
