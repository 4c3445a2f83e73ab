"""What the routes of one running program share, handed to them as the `Twins` dependency."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

from twins.calls import CallLog
from twins.changes import Changes
from twins.faults import FaultScript
from twins.hooks.inbox import Inboxes
from twins.stripe.accounts import Accounts
from twins.studio import Studio

ArtMode = Literal["scenes", "flat"]


@dataclass
class State:
    changes: Changes
    calls: CallLog
    faults: FaultScript
    inboxes: Inboxes
    studio: Studio
    stripe: Accounts
    # "flat" makes every picture at once and in one colour pair: for load tests of everything else.
    art: ArtMode = "scenes"


def _state(request: Request) -> State:
    state: State = request.app.state.twins
    return state


Twins = Annotated[State, Depends(_state)]
