"""What the toy service speaks of: marks made on things, the count it keeps of them, and jars that want filling."""

from typing import ClassVar

from shared.contract import Event, Topic

MARKS = Topic("toy.marks", key="thing")
COUNTS = Topic("toy.counts", key="thing", partitions=4)
JARS = Topic("toy.jars", key="jar", partitions=4)
LIDS = Topic("toy.lids", key="jar", partitions=4)


class MarkMade(Event):
    topic: ClassVar[Topic] = MARKS

    thing: str
    job_id: str | None = None
    weight: int = 1
    note: str = ""


class MarkErased(Event):
    topic: ClassVar[Topic] = MARKS

    thing: str
    job_id: str | None = None


class CountChanged(Event):
    topic: ClassVar[Topic] = COUNTS

    thing: str
    count: int


class JarFilled(Event):
    topic: ClassVar[Topic] = JARS

    jar: str


class JarClosed(Event):
    """Both the jar and its lid were there, whichever came first."""

    topic: ClassVar[Topic] = JARS

    jar: str


class LidFound(Event):
    topic: ClassVar[Topic] = LIDS

    jar: str
