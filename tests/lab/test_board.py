import os
import threading
import time

import pytest

from observatory.errors import ScenarioFailed
from observatory.lab.board import Board


@pytest.fixture
def board(tmp_path):
    board = Board(tmp_path / "board")
    yield board
    board.close()


@pytest.mark.parametrize("value", [4711, "text", None, True, [1, {"a": 2}], "line\nbreak"])
def test_what_is_told_is_known(board, value):
    board.tell("port", value)

    assert board.ask("port", 0) == value


def test_the_last_value_counts(board):
    board.tell("port", 1)
    board.ask("port", 0)
    board.tell("port", 2)

    assert board.ask("port", 0) == 2


def test_asking_waits_for_another_process(board):
    pid = os.fork()
    if pid == 0:
        try:
            time.sleep(0.02)
            board.tell("port", 80)
        finally:
            os._exit(0)

    assert board.ask("port", 5) == 80
    os.waitpid(pid, 0)


def test_a_board_opened_later_knows_all(board):
    board.tell("a", 1)
    later = Board(board.path)

    assert later.known() == {"a": 1}
    later.close()


def test_asking_in_vain_says_for_what(board):
    with pytest.raises(ScenarioFailed, match="nobody told 'port' within"):
        board.ask("port", 0.01)


def test_many_tell_at_once(board):
    def tell(first):
        for number in range(first, first + 100):
            board.tell(f"value {number}", number)

    threads = [threading.Thread(target=tell, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(board.known()) == 400
