import os
import subprocess
import sys
from pathlib import Path

from observatory.lab.actor import BOARD_VARIABLE
from observatory.lab.board import Board
from observatory.sources.journal import FOLDER_VARIABLE, ROLE_VARIABLE
from observatory.sources.journal_reader import read_journals

ROOT = Path(__file__).parent.parent.parent


def speak(actor, word):
    actor.tell("heard", [word, str(actor.folder)])
    actor.socket().close()


def test_it_runs_a_function_under_the_environments_role(tmp_path):
    environment = {
        **os.environ,
        FOLDER_VARIABLE: str(tmp_path),
        ROLE_VARIABLE: "server.1",
        BOARD_VARIABLE: str(tmp_path / "board"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "observatory.lab.executed", "tests.lab.test_executed:speak"]
    subprocess.run([*command, "hello"], env=environment, check=True, timeout=60)

    board = Board(tmp_path / "board")
    assert board.ask("heard", 0) == ["hello", str(tmp_path / "files")]
    board.close()
    reading = read_journals(tmp_path)
    assert [call.name for call in reading.calls] == ["socket", "close", "exit"]
    assert reading.processes[0].role == "server.1"
