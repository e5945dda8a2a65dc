"""What the live tests share: the command as a person types it, and what this machine allows."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent

# How long an example takes says nothing on a machine that does other things too. The examples are
# the same at every run, so that a red run is due to the change; HYPOTHESIS_PROFILE=explore looks
# for new ones.
settings.register_profile(
    "same", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None,
    derandomize=True,
)  # fmt: skip
settings.register_profile("explore", settings.get_profile("same"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Said]


def environment(**changes: str | None) -> dict[str, str]:
    """The tests' environment with the tree importable from anywhere; None takes a name out."""
    found = {
        name: value
        for name, value in os.environ.items()
        if name not in ("SUDO_UID", "SUDO_GID", "NO_COLOR", "COLUMNS", "LC_ALL")
    }
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), found.get("PYTHONPATH")]))
    for name, value in changes.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run ``observatory ARGUMENTS`` in ``tmp_path`` as another process."""

    def run(*arguments: str | Path, env: dict[str, str | None] | None = None) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "observatory", *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**(env or {})),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


@cache
def why_no_run() -> str:
    """Why no behaviour can be run here, as the doctor says it; empty if one can."""
    from observatory import doctor

    missing = [
        f"{finding.name}: {finding.detail}"
        for finding in doctor.examine()
        if finding.needed and finding.status is doctor.Status.MISSING
    ]
    return "; ".join(missing)


@pytest.fixture
def live() -> None:
    """Skips the test, with the doctor's reason, where no behaviour can be run."""
    if reason := why_no_run():
        pytest.skip(reason)


@pytest.fixture
def tshark() -> str:
    """The path of tshark; skips the test where there is none."""
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("tshark is not installed (sudo apt-get install tshark)")
    return found
