"""Starts this interpreter as a child process that runs a function of this package."""

from __future__ import annotations

import json
import os
import sys

# -P keeps the working folder, which may hold untrusted modules, out of sys.path until the parent's sys.path replaces it.
_OPTIONS = ("-P", "-W", "ignore", "-c")


def command(function: str, **given: object) -> list[str]:
    """The command line of a child that calls a function with keyword arguments.

    Args:
        function: its dotted name, such as `pytest_claims.citation.child.serve`.
        given: the arguments, which JSON can hold.
    """
    module, _, name = function.rpartition(".")
    program = (
        "import json, sys; path, given = json.loads(sys.argv[1]); sys.path[:] = path; "
        f"from {module} import {name}; {name}(**given)"
    )
    path = [os.path.abspath(folder) for folder in sys.path]  # noqa: PTH100 - keeps links, and accepts ""
    return [sys.executable, *_OPTIONS, program, json.dumps([path, given])]
