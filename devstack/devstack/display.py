"""What a person sees: bars while something runs, tables afterwards.

On a terminal a bar moves in place; in a pipe or a log file each step is one plain line.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(highlight=False)


class Steps:
    """Counts the parts of one stage; `done(name)` may be called from any thread."""

    def __init__(self, title: str, names: Sequence[str], bar: Progress | None) -> None:
        self._title = title
        self._waiting = list(names)
        self._bar = bar
        self._task = bar.add_task(title, total=len(names), note=_list(names)) if bar else None
        self._began = time.monotonic()

    def done(self, name: str) -> None:
        """Nothing to do for a name that is not of this stage, or was done before."""
        if name not in self._waiting:
            return
        self._waiting.remove(name)
        if self._bar and self._task is not None:
            self._bar.update(self._task, advance=1, note=_list(self._waiting))
        else:
            console.print(f"{self._title}  {name}  {time.monotonic() - self._began:.1f} s")


@contextmanager
def stages() -> Iterator[Progress | None]:
    """A live display for several stages on a terminal, None elsewhere."""
    if not console.is_terminal:
        yield None
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<8}"),
        BarColumn(28, pulse_style="bar.back"),
    )
    with Progress(
        *columns, MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("[dim]{task.fields[note]}"), console=console
    ) as bar:
        yield bar


def say(text: str, style: str | None = None) -> None:
    """One line as it is: not wrapped, and no brackets taken for markup."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    shown = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    console.print()
    console.print(shown)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
