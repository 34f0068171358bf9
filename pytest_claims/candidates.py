"""Checks each release candidate of `--claims-model`: its folder must exist, and at least one selected claim must run it.

Both are checked before a claim runs. With a mistyped name, the claims would otherwise run the published checkpoint, and a green
gate would say nothing about the candidate.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_claims import protocol
from pytest_claims.errors import SettingsError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim


def hub_id(path: str) -> tuple[str, str | None]:
    """The hub id and the revision of a candidate: `owner/name@refs/pr/3` → `("owner/name", "refs/pr/3")`."""
    name, _, revision = path.partition("@")
    return name, revision or None


def check_paths(settings: Settings, folder: Path) -> None:
    """Check that each candidate's folder exists. Without such a folder, `owner/name` and `owner/name@revision` are hub ids.

    Args:
        settings: the options of the session.
        folder: the folder in which the session was started.

    Raises:
        SettingsError: a path does not lead to a checkpoint.
    """
    for name, path in settings.candidates.items():
        place, option = folder / path, f"--claims-model={name}={path}"
        if os.path.isdir(place):  # noqa: PTH112 - Path.is_dir raises where the name is too long
            if not os.path.isfile(place / "config.json"):  # noqa: PTH113 - as above
                raise SettingsError(
                    f"{option}: the folder {place} holds no config.json; expected a checkpoint as `save_pretrained` writes it"
                )
            continue
        # `checkpoints/new` is a path if there is a folder `checkpoints`; otherwise it is a hub id, like `owner/name`.
        identifier, revision = hub_id(path)
        beside = place.parent if revision is None else (folder / identifier).parent
        like_id = identifier.count("/") == 1 and not path.startswith(("/", ".", "~"))
        if like_id and not os.path.isdir(beside):  # noqa: PTH112
            if path.endswith("@"):
                raise SettingsError(f"{option}: expected a revision after @, such as {identifier}@main")
            continue
        what = "is no folder:" if os.path.lexists(place) else "there is no folder"
        raise SettingsError(
            f"{option}: {what} {place}{nearest(place.name, _folders(beside))}; expected the folder of a checkpoint, or a hub "
            "id such as owner/name or owner/name@revision"
        )


def check_names(settings: Settings, claims: Iterable[Claim]) -> None:
    """Check that at least one selected claim runs each candidate.

    Args:
        settings: the options of the session.
        claims: the selected claims.

    Raises:
        SettingsError: no selected claim runs a candidate.
    """
    if not settings.candidates:
        return
    selected = tuple(claims)
    used = {
        named[0] for claim in selected if (named := protocol.candidate(claim, settings)) and claim.run.runs_checkpoint
    }
    for name, path in settings.candidates.items():
        if name in used:
            continue
        option = f"--claims-model={name}={path}"
        about = [claim for claim in selected if name in (claim.id, protocol.checkpoint_id(claim, settings))]
        if about and not about[0].run.runs_checkpoint:
            where, evaluator = about[0].where, about[0].run.evaluator
            raise SettingsError(
                f"{option}: {where}: the claim {about[0].id} runs no checkpoint (evaluator {evaluator})"
            )
        if about:
            raise SettingsError(f"{option}: each claim of this checkpoint has a candidate of its own")
        running = [claim for claim in selected if claim.run.runs_checkpoint]
        known = sorted(
            {text for claim in running for text in (claim.id, protocol.checkpoint_id(claim, settings)) if text}
        )
        listed = f"; known: {', '.join(known[:8])}" if known else "; no selected claim runs a checkpoint"
        raise SettingsError(
            f"{option}: no selected claim has the id or the checkpoint {name!r}{nearest(name, known) or listed}"
        )


def _folders(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
