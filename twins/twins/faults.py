"""Fault scripts: which call goes wrong, in which way, how often.

A fault comes from the prompt itself (`[[twin:429:2 x3]]`) or from a rule set over the control API. Directives win,
and both are scoped (by prompt or by API key), so tests that run in parallel do not meet each other's faults.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from twins.calls import Call, CallLog, fingerprint

# What each action does, with the pattern its argument has to match ("" = takes none).
_NUMBER = r"\d{1,6}"
_ARGUMENTS: dict[str, str] = {
    "429": rf"({_NUMBER})?",
    "quota": "",
    "500": "",
    "502": "",
    "503": rf"({_NUMBER})?",
    "moderation": "(input|output)?",
    "odd-message": "",
    "drop": "",
    "timeout": "",
    "drop-after-success": "",
    "timeout-after-success": "",
    "garbage": "",
    "truncated": "",
    "wrong-content": "",
    "wrong-size": r"(\d{1,4}x\d{1,4})?",
    "padded": r"(\d{1,3})?",
    "odd-usage": "(empty|null|float|negative|huge|number)?",
    "delay": _NUMBER,
    "flat": "",
}
_DIRECTIVE = re.compile(r"\[\[twin:([^\]]*)\]\]\s*")
_TIMES = re.compile(r"\s+x(\d{1,4})\s*$")


class UnknownFaultError(ValueError):
    def __init__(self, text: str) -> None:
        super().__init__(
            f"Unknown twin fault {text!r}; known are {', '.join(_ARGUMENTS)} (see the README for arguments)"
        )


@dataclass(frozen=True)
class Fault:
    action: str
    argument: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Fault":
        action, _, argument = text.partition(":")
        pattern = _ARGUMENTS.get(action)
        if pattern is None or re.fullmatch(pattern, argument) is None:
            raise UnknownFaultError(text)
        return cls(action, argument or None)


class Rule(BaseModel):
    """A fault for the next `times` calls that match (None: for every one), after letting `skip` of them pass."""

    model_config = ConfigDict(extra="forbid")

    action: str
    provider: str | None = None
    prompt_contains: str | None = None
    api_key: str | None = None
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=1, ge=0)
    id: str = Field(default_factory=lambda: f"rule_{uuid4().hex[:12]}")

    @field_validator("action")
    @classmethod
    def _known_action(cls, text: str) -> str:
        Fault.parse(text)
        return text

    def matches(self, call: Call, prompt: str) -> bool:
        return (
            self.times != 0
            and self.provider in (None, call.provider)
            and (self.prompt_contains is None or self.prompt_contains in prompt)
            and (self.api_key is None or fingerprint(self.api_key) == call.key)
        )


class FaultScript:
    """The rules in force, tried in order. What is left of each survives a restart."""

    def __init__(self, path: Path | None, calls: CallLog) -> None:
        self._path = path
        self._calls = calls
        self._rules = _load(path)

    @property
    def rules(self) -> list[Rule]:
        return list(self._rules)

    def replace(self, rules: list[Rule]) -> None:
        self._rules = list(rules)
        self._save()

    def add(self, rule: Rule) -> None:
        self._rules.append(rule)
        self._save()

    def remove(self, rule_id: str) -> bool:
        kept = [rule for rule in self._rules if rule.id != rule_id]
        removed = len(kept) < len(self._rules)
        self.replace(kept)
        return removed

    def claim(self, call: Call, prompt: str) -> Fault | None:
        """The fault of this call, if it has one. Claiming uses up one of its times."""
        directives = _directives(prompt)
        if directives:
            return _at(directives, self._calls.earlier(call))
        rule = next((rule for rule in self._rules if rule.matches(call, prompt)), None)
        if rule is None:
            return None
        return self._use(rule)

    def _use(self, rule: Rule) -> Fault | None:
        if rule.skip:
            rule.skip -= 1
            self._save()
            return None
        if rule.times is not None:
            rule.times -= 1
            self._save()
        return Fault.parse(rule.action)

    def _save(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps([rule.model_dump() for rule in self._rules]))
        draft.replace(self._path)


def without_directives(prompt: str) -> str:
    return _DIRECTIVE.sub("", prompt).strip()


def _directives(prompt: str) -> list[tuple[Fault, int | None]]:
    return [_directive(found[1]) for found in _DIRECTIVE.finditer(prompt)]


def _directive(text: str) -> tuple[Fault, int | None]:
    times = _TIMES.search(text)
    if times is None:
        return Fault.parse(text.strip()), None
    return Fault.parse(text[: times.start()].strip()), int(times[1])


def _at(directives: list[tuple[Fault, int | None]], position: int) -> Fault | None:
    """Directives follow each other: the first for its number of calls, then the next; one without number never ends."""
    for fault, times in directives:
        if times is None or position < times:
            return fault
        position -= times
    return None


def _load(path: Path | None) -> list[Rule]:
    if path is None or not path.exists():
        return []
    try:
        return [Rule.model_validate(item) for item in json.loads(path.read_text())]
    except (ValueError, ValidationError) as error:
        raise SystemExit(f"twins cannot read {path}: {error}; delete the file to start without fault rules") from error
