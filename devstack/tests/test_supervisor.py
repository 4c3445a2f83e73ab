"""What ends is started again; what keeps ending and is essential ends the watch."""

import threading
from pathlib import Path

import pytest

from devstack.errors import StackError
from devstack.process import wait_until
from devstack.supervisor import Supervisor

from .conftest import LISTENS, Script


class TestWatch:
    def test_a_killed_part_is_started_again_and_said_so(self, directory: Path) -> None:
        part, said, end = Script(directory, LISTENS), [], threading.Event()
        part.start()
        part.wait_ready()
        first = part.child.pid
        watch = threading.Thread(target=Supervisor([part], essential=[part]).watch, args=(end, said.append))
        watch.start()

        part.child.kill()
        revived = wait_until(lambda: part.child.is_running and part.child.pid != first, 10)
        end.set()
        watch.join()
        part.stop()

        assert revived
        assert said == ["script ended (killed by SIGKILL) and is started again"]

    def test_an_essential_part_that_keeps_ending_ends_the_watch(self, directory: Path) -> None:
        part = Script(directory, "print('disk full'); raise SystemExit(1)")
        part.start()
        supervisor = Supervisor([part], essential=[part], tolerated=2, first_pause=0.01)

        with pytest.raises(StackError, match=r"script ended 3 times in a minute \(status 1: disk full\)"):
            supervisor.watch(threading.Event(), lambda _line: None)

    @pytest.mark.parametrize("essential", [False, True])
    def test_only_an_essential_part_that_cannot_start_ends_the_watch(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, essential: bool
    ) -> None:
        part, said, end = Script(directory, "raise SystemExit(1)"), [], threading.Event()
        part.start()
        monkeypatch.setattr(part, "start", _port_is_taken)
        supervisor = Supervisor([part], essential=[part] if essential else [], tolerated=9, first_pause=0.01)

        def say(line: str) -> None:
            said.append(line)
            if said.count("script cannot start: port 8100 is in use") == 2:
                end.set()

        if essential:
            with pytest.raises(StackError, match="8100"):
                supervisor.watch(end, say)
        else:
            supervisor.watch(end, say)
            assert end.is_set()

    def test_other_parts_are_tried_for_ever(self, directory: Path) -> None:
        part, said, end = Script(directory, "raise SystemExit(1)"), [], threading.Event()
        part.start()
        supervisor = Supervisor([part], essential=[], tolerated=1, first_pause=0.01)
        watch = threading.Thread(target=supervisor.watch, args=(end, said.append))
        watch.start()

        tried = wait_until(lambda: len(said) >= 3, 20)
        end.set()
        watch.join()
        part.stop()

        assert tried


def _port_is_taken() -> None:
    raise StackError("port 8100 is in use")
