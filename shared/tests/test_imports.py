"""Any client can install ``shared`` alone: all of it needs pydantic and the standard library, and nothing else."""

import json
import subprocess
import sys

PROGRAM = """
import importlib, json, pkgutil, sys
import pydantic
before = set(sys.modules)
import shared
for module in pkgutil.walk_packages(shared.__path__, "shared."):
    importlib.import_module(module.name)
from shared.prices import price_books
price_books()
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}


def test_importing_all_of_shared_brings_pydantic_and_the_standard_library_only() -> None:
    done = subprocess.run([sys.executable, "-I", "-c", PROGRAM], capture_output=True, text=True, check=True)
    brought = {name for name in json.loads(done.stdout) if not name.startswith("_sysconfigdata")}

    assert "shared" in brought
    assert brought - {"shared"} - PYDANTIC - set(sys.stdlib_module_names) == set()
