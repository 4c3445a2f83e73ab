"""What the toy service speaks of: marks made on things, and the count it keeps of them."""

from typing import ClassVar

from shared.contract import Event, Topic

MARKS = Topic("toy.marks", key="thing")
COUNTS = Topic("toy.counts", key="thing")


class MarkMade(Event):
    topic: ClassVar[Topic] = MARKS

    thing: str
    job_id: str | None = None
    weight: int = 1


class MarkErased(Event):
    topic: ClassVar[Topic] = MARKS

    thing: str
    job_id: str | None = None


class CountChanged(Event):
    topic: ClassVar[Topic] = COUNTS

    thing: str
    count: int
