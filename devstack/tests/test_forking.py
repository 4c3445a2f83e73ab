"""Programs that start by a fork behave like programs that were started by a shell."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack.errors import StackError
from devstack.forking import Forked, Zygote
from devstack.process import is_alive, wait_until

SLEEPER = "import signal\nprint('up')\nsignal.pause()\n"


def is_up(directory: Path) -> bool:
    output = directory / "output"
    return wait_until(lambda: output.exists() and output.read_text() == "up\n", 20)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONUNBUFFERED", raising=False)  # a newcomer has none
        zygote.launch()
    yield zygote
    zygote.close()


@pytest.fixture
def start(zygote: Zygote, tmp_path: Path):
    """Run a program of these lines; its standard output and its errors lie in `output` and `errors`."""

    def start(source: str, *arguments: str, **variables: str) -> Forked:
        (tmp_path / "program.py").write_text(source)
        env = {"PATH": os.environ["PATH"], **variables}
        argv = ["program", *arguments]
        return zygote.start(argv, env=env, cwd=tmp_path, output=tmp_path / "output", errors=tmp_path / "errors")

    return start


class TestProgram:
    def test_has_its_arguments_environment_and_directory(self, start, tmp_path: Path) -> None:
        program = start("import os, sys\nprint(sys.argv[1:], dict(os.environ)['KEY'], os.getcwd())\n", "a b", KEY="c")

        assert program.wait(20) == 0
        assert (tmp_path / "output").read_text() == f"['a b'] c {tmp_path}\n"
        assert (tmp_path / "errors").read_text() == ""

    @pytest.mark.parametrize(
        ("source", "code", "told"),
        [
            ("raise SystemExit(3)", 3, ""),
            ("raise SystemExit('no such thing')", 1, "no such thing\n"),
            ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ],
    )
    def test_ends_with_its_code_and_says_why(self, start, tmp_path: Path, source: str, code: int, told: str) -> None:
        program = start(source)

        assert program.wait(20) == code
        assert program.poll() == code
        assert (tmp_path / "errors").read_text().endswith(told)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_is_ended_by_a_signal(self, start, tmp_path: Path, number: signal.Signals) -> None:
        program = start(SLEEPER)
        # what it prints is there at once, as from an unbuffered program
        assert is_up(tmp_path)
        assert program.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0)

        program.send_signal(number)

        assert program.wait(20) == -number

    def test_is_known_by_its_name_among_the_processes(self, start, tmp_path: Path) -> None:
        program = start(SLEEPER, "serve")
        assert is_up(tmp_path)
        shown = " ".join(psutil.Process(program.pid).cmdline())
        assert shown.strip("\0 ").endswith("-m program serve")
        program.send_signal(signal.SIGKILL)
        program.wait(20)


class TestZygote:
    def test_takes_its_programs_along_and_another_one_follows(self, tmp_path: Path) -> None:
        zygote = Zygote()
        zygote.launch()
        (tmp_path / "program.py").write_text(SLEEPER)
        asked = {"env": dict(os.environ), "cwd": tmp_path, "output": tmp_path / "output"}
        program = zygote.start(["program"], **asked)
        process = psutil.Process(program.pid)
        assert is_up(tmp_path)
        process.parent().kill()

        assert program.wait(20) == -signal.SIGTERM
        assert wait_until(lambda: not is_alive(process), 20)
        zygote.launch()
        successor = zygote.start(["program"], **asked)
        assert successor.poll() is None
        zygote.close()

    def test_without_one_nothing_starts(self, tmp_path: Path) -> None:
        with pytest.raises(StackError, match="could not be started"):
            Zygote().start(["timeit"], env={}, cwd=tmp_path, output=tmp_path / "output")
