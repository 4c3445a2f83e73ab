"""``docs/errors.md`` against the code: every code that a client can meet stands there, and no other.

Codes are read from the syntax trees of kit and the services: whatever makes a problem is given them as literals.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from billing.refunds import REFUNDS
from composition import SERVICES
from kit.problems import CODES
from shared.failures import FailureClass

ROOT = Path(__file__).parents[2]
PACKAGES = {"kit": ROOT / "kit" / "kit"} | {name: ROOT / "services" / name / name for name in SERVICES}
BY_FRAMEWORK = (400, 404, 405)
"""What FastAPI itself refuses: a form that it cannot read, a path and a method that nobody has."""
NOT_LITERAL = {
    "Problem(error.status_code, code, str(error.detail), headers=headers)",  # of an HTTPException
    "Problem(422, code, detail)",  # of unusable_picture
    "unusable_picture(error.code, error.detail)",  # of a PictureRefusedError
}
Code = tuple[str, int]


@cache
def nodes(package: str) -> list[ast.AST]:
    files = sorted(PACKAGES[package].rglob("*.py"))
    return [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file)))]


def made(package: str) -> Iterator[Code | str]:
    """Code and status of every problem that a package makes; the text of a call that does not name them."""
    for node in nodes(package):
        if not isinstance(node, ast.Call):
            continue
        literals = [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]
        match ast.unparse(node.func).rpartition(".")[2], literals:
            case "Problem", [int(status), str(code), *_]:
                yield code, status
            case "HTTPException", [int(status), *_]:
                yield CODES.get(status, f"http_{status}"), status
            case "unusable_picture" | "PictureRefusedError", [str(code), *_]:
                yield code, 422
            case "Problem" | "HTTPException" | "unusable_picture" | "PictureRefusedError", _:
                yield ast.unparse(node)


def problems() -> dict[Code, set[str]]:
    """Code and status of every problem, and the packages that make it."""
    found: defaultdict[Code, set[str]] = defaultdict(set)
    for status in BY_FRAMEWORK:
        found[CODES[status], status].add("kit")
    for package in PACKAGES:
        for code in made(package):
            if not isinstance(code, str):
                found[code].add(package)
    return found


def refusals() -> set[str]:
    """What billing's functions say that tell code and detail of why nothing is held."""
    rules = [
        node
        for node in nodes("billing")
        if isinstance(node, ast.FunctionDef) and node.returns and ast.unparse(node.returns) == "tuple[str, str] | None"
    ]
    answers = [node.value for rule in rules for node in ast.walk(rule) if isinstance(node, ast.Return)]
    return {ast.literal_eval(answer.elts[0]) for answer in answers if isinstance(answer, ast.Tuple)}


def listed(section: str, *columns: str) -> list[tuple[str, ...]]:
    """The first cells of each row of a section that begins with a code."""
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `(\w+)` \| " + "".join(f"({column}) \\| " for column in columns), found, re.MULTILINE)


class TestProblems:
    def test_every_code_is_listed_once_with_its_status(self) -> None:
        rows = [(code, int(status)) for code, status, _ in listed("Problems", r"\d+", "[a-z, ]+")]

        assert sorted(rows) == sorted(problems())

    def test_who_answers_so_is_told(self) -> None:
        found = problems()

        for code, status, services in listed("Problems", r"\d+", "[a-z, ]+"):
            makers = found[code, int(status)]
            assert "kit" in makers or set(services.split(", ")) == makers, code

    def test_whatever_makes_a_problem_names_its_code(self) -> None:
        assert {call for package in PACKAGES for call in made(package) if isinstance(call, str)} == NOT_LITERAL


class TestJobs:
    def test_every_refusal_is_listed(self) -> None:
        assert {code for code, _ in listed("Refused jobs", "[^|]+")} == refusals()

    def test_every_failure_class_is_listed_and_who_pays(self) -> None:
        rules = [rule for rule in REFUNDS.values() if rule.outcome != "delivered"]
        charged = {(str(rule.outcome), "yes" if rule.credits == "captured" else "no") for rule in rules}
        rows = {(failure, pays) for failure, _, pays in listed("Failures of items", "[^|]+", "yes|no")}

        assert rows == charged
        assert {failure for failure, _ in rows} == set(FailureClass)
