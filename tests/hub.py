"""Stand-ins for what the hub has: a tiny BLIP-2 and small data sets under the real names, in a cache or behind a server."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests import forked
from tests.running import LEAN
from tests.shapes import MODEL, rows

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    import pytest

FLICKR_COMMIT = "f" * 40
MODEL_COMMIT = "0123456789abcdef0123456789abcdef01234567"
BLIP2 = Path(__file__).parents[1] / "claims" / "blip2"
TOKEN = "hf_" + "thisTokenIsNotReal" * 2


def model_files(size: int = 64) -> dict[str, bytes]:
    """The shipped tiny BLIP-2, for images of `size` pixels: a multiple of 28, or the 64 that it was trained for.

    Its patches grow from 8 to 28 pixels, each weight spread over the pixels that it then covers, and the learned positions
    are interpolated: the captions stay what they are, about.
    """
    import safetensors.torch
    import torch

    files = {path.name: path.read_bytes() for path in MODEL.iterdir() if path.is_file()}
    if size == 64:
        return files
    grid = size // 28
    config = json.loads(files["config.json"])
    config["vision_config"] |= {"image_size": size, "patch_size": 28}
    processor = json.loads(files["processor_config.json"])
    processor["image_processor"]["size"] = {"height": size, "width": size}
    weights = safetensors.torch.load(files["model.safetensors"])
    patches = next(name for name in weights if name.endswith("patch_embedding.weight"))
    grown = torch.nn.functional.interpolate(weights[patches], size=(28, 28), mode="bilinear")
    weights[patches] = grown * (8 / 28) ** 2
    positions = next(name for name in weights if name.endswith("embeddings.position_embedding"))
    first, others = weights[positions][:, :1], weights[positions][:, 1:]
    square = others.reshape(1, 8, 8, -1).permute(0, 3, 1, 2)
    square = torch.nn.functional.interpolate(square, size=(grid, grid), mode="bicubic")
    weights[positions] = torch.cat([first, square.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)], dim=1).contiguous()
    return files | {
        "config.json": json.dumps(config).encode(),
        "processor_config.json": json.dumps(processor).encode(),
        "model.safetensors": safetensors.torch.save(weights, metadata={"format": "pt"}),
    }


def flickr_files(count: int, *, others: int = 5) -> dict[str, bytes]:
    """Flickr30k as the hub's parquet conversion has it: one split `test` that holds all of them, and a column that says which.

    Args:
        count: rows of the test split.
        others: rows of the training split.
    """
    import pyarrow
    import pyarrow.parquet

    content = rows(count + others)
    for number, row in enumerate(content):
        row["split"] = "test" if number < count else "train"
        row |= {"sentids": [str(number)], "img_id": str(number)}
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), buffer)
    return {"TEST/test/0000.parquet": buffer.getvalue()}


def cache(home: Path, identifier: str, kind: str, commit: str, revision: str, files: dict[str, bytes]) -> None:
    """Put a repository into the hub's cache below `home`, in the hub's own layout."""
    repo = home / "hub" / f"{kind}s--{identifier.replace('/', '--')}"
    reference = repo / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit, encoding="utf-8")
    for name, content in files.items():
        blob = repo / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = repo / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))


@dataclass
class Served:
    """A repository behind the local server, and what is wrong with it."""

    files: dict[str, bytes]
    commit: str = MODEL_COMMIT
    revisions: tuple[str, ...] = ("main",)
    gated: bool = False
    cut: set[str] = field(default_factory=set)
    """Files whose next download breaks off in the middle."""
    wrong: set[str] = field(default_factory=set)
    """Files of which one byte arrives changed."""
    lost: set[str] = field(default_factory=set)
    """Files that are listed and not there."""
    silent: bool = False
    """Questions about it are not answered."""


class Hub:
    """A server on loopback that speaks as much of the hub's interface as a download needs.

    Args:
        repos: what it has, by `models/<id>` and `datasets/<id>`.
    """

    def __init__(self, repos: dict[str, Served]) -> None:
        self.repos = repos
        self.log: list[tuple[str, str, str | None]] = []
        """Method, path and range of each request."""
        self.tokens: set[str | None] = set()
        self.ended = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def _handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
                hub.log.append((self.command, path, self.headers.get("Range")))
                hub.tokens.add(self.headers.get("Authorization"))
                parts = path.strip("/").split("/")
                if parts[0] == "api":
                    self.about(parts[1], "/".join(parts[2:4]), parts[4:])
                else:
                    kind = parts.pop(0) if parts[0] == "datasets" else "models"
                    self.file(kind, "/".join(parts[:2]), parts[3], "/".join(parts[4:]), body=body)

            def about(self, kind: str, name: str, rest: list[str]) -> None:
                repo = hub.repos.get(f"{kind}/{name}")
                if repo is None:
                    self.refuse(401, "RepoNotFound")
                elif repo.silent:
                    hub.ended.wait(30)
                elif rest[:1] == ["auth-check"]:
                    self.refuse(401, "GatedRepo") if repo.gated else self.send(200, b"{}")
                elif rest[:1] == ["revision"] and "/".join(rest[1:]) not in (*repo.revisions, repo.commit):
                    self.refuse(404, "RevisionNotFound")
                else:
                    siblings: list[dict[str, Any]] = []
                    for file, content in repo.files.items():
                        entry: dict[str, Any] = {"rfilename": file, "size": len(content), "blobId": "0" * 40}
                        if file.endswith((".safetensors", ".parquet")):
                            digest = hashlib.sha256(content).hexdigest()
                            entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
                        siblings.append(entry)
                    about = {"id": name, "sha": repo.commit, "siblings": siblings, "gated": repo.gated and "auto"}
                    self.send(200, json.dumps(about).encode(), {"Content-Type": "application/json"})

            def file(self, kind: str, name: str, revision: str, file: str, *, body: bool) -> None:
                repo = hub.repos.get(f"{kind}/{name}")
                if repo is None:
                    return self.refuse(401, "RepoNotFound")
                if repo.gated:
                    return self.refuse(401, "GatedRepo")
                if revision not in (*repo.revisions, repo.commit):
                    return self.refuse(404, "RevisionNotFound")
                if file not in repo.files or file in repo.lost:
                    return self.refuse(404, "EntryNotFound")
                content = repo.files[file]
                headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
                if file in repo.wrong:
                    content = content[:-1] + bytes([content[-1] ^ 1])
                asked, status = self.headers.get("Range"), 200
                if asked and body:
                    first, _, last = asked.removeprefix("bytes=").partition("-")
                    end = int(last) + 1 if last else len(content)
                    headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
                    content, status = content[int(first) : end], 206
                half = None
                if body and file in repo.cut:
                    repo.cut.discard(file)
                    half = len(content) // 2
                return self.send(status, content, headers, body=body, stop=half)

            def refuse(self, status: int, code: str) -> None:
                self.send(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": code})

            def send(
                self,
                status: int,
                content: bytes,
                headers: dict[str, str] | None = None,
                *,
                body: bool = True,
                stop: int | None = None,
            ) -> None:
                self.send_response(status)
                for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if body and self.command != "HEAD":
                    self.wfile.write(content[:stop])
                if stop is not None:
                    self.close_connection = True

        return Handler


@contextmanager
def here(repos: dict[str, Served], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """This process's huggingface_hub, turned to a local server with these repositories, and to an empty cache."""
    from huggingface_hub import constants

    from pytest_claims.sources import hub as ours

    with Hub(repos) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        ours._asked.cache_clear()
        yield server
    ours._asked.cache_clear()


def run(
    folder: Path, *options: str, torch: bool = True, **environment: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run pytest as a user does, in a process of its own, since HF_* are read at import.

    Args:
        folder: holds `claims/`, gets `home/`, which is HF_HOME.
        options: of pytest.
        torch: the run imports torch.
        environment: more of it, over the one of this process without its HF_* and proxies.

    Returns:
        The process and its records by claim id.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HF_", "HUGGING", "PYTEST_", "TRANSFORMERS_")) and "proxy" not in key.lower()
    }
    process = forked.pytest(
        "claims", "--claims-report=v.json", "-p", "no:cacheprovider", "--claims-device=cpu", "--import-mode=importlib",
        *LEAN, *options,
        folder=folder,
        torch=torch,
        environment={
            **kept, "HF_HOME": str(folder / "home"), "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", **environment,
        },
    )  # fmt: skip
    report = folder / "v.json"
    assert report.exists(), process.stdout + process.stderr
    text = report.read_text(encoding="utf-8")
    assert TOKEN not in process.stdout + process.stderr + text
    assert "Traceback" not in process.stdout + process.stderr
    return process, {record["evidence"]["claim"]["id"]: record for record in json.loads(text)["records"]}
