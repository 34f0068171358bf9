"""The command line: what is read from it, and what is said about values that are not right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import settings
from pytest_claims.errors import SettingsError
from pytest_claims.settings import Gate, Settings, read
from pytest_claims.spec import Protocol
from pytest_claims.spec.decoding import CLOSED
from pytest_claims.spec.models import protocol_keys

if TYPE_CHECKING:
    from pathlib import Path

LONG = "x" * 300
"""No file system takes a name of this length."""


class Reader:
    """Reads settings from options, those not given having the values that the plugin registers as defaults."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self.config = config
        self.folder = folder

    def __call__(self, ini: str = "", **given: Any) -> Settings:
        """The settings with `given` options, named without `claims_`, and this ini value of `claims_gate`."""
        options = {f"claims_{name}": value for name, value in given.items()}
        return read(
            lambda name: options[name] if name in options else self.config.getoption(name),
            lambda name: ini if name == "claims_gate" else "",
            self.folder,
        )

    def refused(self, ini: str = "", **given: Any) -> str:
        """The whole message about options that are not valid."""
        with pytest.raises(SettingsError) as caught:
            self(ini, **given)
        return str(caught.value)


@pytest.fixture
def reader(pytestconfig: pytest.Config, tmp_path: Path) -> Reader:
    """Reads settings, relative paths starting in `tmp_path`."""
    return Reader(pytestconfig, tmp_path)


def test_nothing_given(reader: Reader) -> None:
    """The defaults are: gate partial, all images, any device, nothing written."""
    assert reader() == Settings()
    assert reader().gate is Gate.PARTIAL


def test_everything_given(reader: Reader, tmp_path: Path) -> None:
    """Each option ends up in its setting; relative paths start where the session was started."""
    (tmp_path / "coco").mkdir()
    found = reader(
        report=["a.xml", "sub/B.JSON"], gate="pass", require_attempt=True, dry_run=True, sample=20, device="cuda:1",
        set=["decoding.num_beams=1", "prompt="], model=["claim-1=new", "org/model=a=b"], data=["coco", str(tmp_path)],
        base="origin/main", accept_moved=True,
    )  # fmt: skip
    assert found == Settings(
        reports=(tmp_path / "a.xml", tmp_path / "sub/B.JSON"),
        gate=Gate.PASS,
        require_attempt=True,
        dry_run=True,
        sample=20,
        device="cuda:1",
        overrides={"decoding": {"num_beams": 1}, "prompt": ""},
        candidates={"claim-1": "new", "org/model": "a=b"},
        data=((tmp_path / "coco").resolve(), tmp_path.resolve()),
        base="origin/main",
        accept_moved=True,
    )


@pytest.mark.parametrize("value", ["auto", "cpu", "cuda", "cuda:0", "cuda:13"])
def test_devices(reader: Reader, value: str) -> None:
    """A device is auto, cpu, cuda, or one of several cuda devices."""
    assert reader(device=value).device == value


@pytest.mark.parametrize(
    ("option", "ini", "gate"),
    [(None, "", "partial"), (None, "pass", "pass"), ("partial", "pass", "partial"), ("pass", "", "pass")],
)
def test_the_command_line_wins_over_the_ini_file(reader: Reader, option: str | None, ini: str, gate: str) -> None:
    """The gate of the command line, else that of the ini file, else partial."""
    assert reader(ini, gate=option).gate == gate


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"gate": "green"}, "--claims-gate=green: expected partial or pass"),
        ({"gate": "parital"}, "--claims-gate=parital: expected partial or pass, did you mean 'partial'?"),
        ({"gate": ""}, "--claims-gate=: expected partial or pass"),
        ({"ini": "PASS"}, "claims_gate=PASS: expected partial or pass"),
        ({"sample": 0}, "--claims-sample=0: expected a number of images of at least 1"),
        ({"sample": -5}, "--claims-sample=-5: expected a number of images of at least 1"),
        ({"device": "gpu"}, "--claims-device=gpu: expected auto, cpu, cuda or cuda:N, did you mean 'cpu'?"),
        ({"device": "cdua:1"}, "--claims-device=cdua:1: expected auto, cpu, cuda or cuda:N, did you mean 'cuda'?"),
        ({"device": "cuda:"}, "--claims-device=cuda:: expected auto, cpu, cuda or cuda:N, did you mean 'cuda'?"),
        ({"device": "cuda:-1"}, "--claims-device=cuda:-1: expected auto, cpu, cuda or cuda:N, did you mean 'cuda'?"),
        ({"device": "cuda:١"}, "--claims-device=cuda:١: expected auto, cpu, cuda or cuda:N, did you mean 'cuda'?"),
        ({"device": "cpu:0"}, "--claims-device=cpu:0: expected auto, cpu, cuda or cuda:N, did you mean 'cpu'?"),
        ({"device": ""}, "--claims-device=: expected auto, cpu, cuda or cuda:N"),
        ({"base": ""}, "--claims-base=: expected a git revision, such as origin/main"),
        ({"base": "--output=x"}, "--claims-base=--output=x: expected a git revision, such as origin/main"),
        ({"model": ["x"]}, "--claims-model=x: expected CLAIM_OR_CHECKPOINT=PATH"),
        ({"model": ["a=b", "=x"]}, "--claims-model==x: expected CLAIM_OR_CHECKPOINT=PATH"),
        ({"model": ["x="]}, "--claims-model=x=: expected CLAIM_OR_CHECKPOINT=PATH"),
        ({"data": ["missing"]}, "--claims-data=missing: there is no folder {folder}/missing"),
        ({"data": ["file.txt"]}, "--claims-data=file.txt: there is no folder {folder}/file.txt"),
        ({"data": [LONG]}, f"--claims-data={LONG}: there is no folder {{folder}}/{LONG}"),
    ],
)
def test_bad_values(reader: Reader, tmp_path: Path, given: dict[str, Any], text: str) -> None:
    """A bad value is refused before anything runs: the option as it was given, and what was expected."""
    (tmp_path / "file.txt").touch()
    assert reader.refused(**given) == text.format(folder=tmp_path.resolve())


@pytest.mark.parametrize("value", ["report", "report.pdf", "report.xml.bak", "", ".xml", "xml", LONG])
def test_reports_of_no_known_format(reader: Reader, value: str) -> None:
    """A report's format follows from the end of its name; another one is refused, not written as something else."""
    start = f"--claims-report={value}: expected a file name that ends in .xml"
    assert reader.refused(report=["good.xml", value]).startswith(start)


def test_a_report_that_is_a_folder(reader: Reader, tmp_path: Path) -> None:
    """A folder is no report file, whatever its name; a name that is too long is left to the one who writes it."""
    (tmp_path / "a.xml").mkdir()
    assert reader.refused(report=["a.xml"]) == "--claims-report=a.xml: is a folder, expected a file"
    assert reader(report=[f"{LONG}.xml"]).reports[0].name == f"{LONG}.xml"


KNOWN = ", ".join(protocol_keys())


@pytest.mark.parametrize(
    ("values", "overrides"),
    [
        (["prompt="], {"prompt": ""}),
        (["prompt=a photo of"], {"prompt": "a photo of"}),
        (["prompt=12"], {"prompt": "12"}),
        (["prompt=null"], {"prompt": "null"}),
        (["prompt=a=b"], {"prompt": "a=b"}),
        (["decoding.num_beams=1"], {"decoding": {"num_beams": 1}}),
        (["decoding.strategy=greedy"], {"decoding": {"strategy": "greedy"}}),
        (["decoding.length_penalty=0"], {"decoding": {"length_penalty": 0}}),
        (["decoding.length_penalty=-1e-1"], {"decoding": {"length_penalty": -0.1}}),
        (["decoding.early_stopping=never"], {"decoding": {"early_stopping": "never"}}),
        (["decoding.early_stopping=true"], {"decoding": {"early_stopping": True}}),
        (["decoding.num_beams=3", "decoding.max_new_tokens=9"], {"decoding": {"num_beams": 3, "max_new_tokens": 9}}),
        (["decoding.num_beams=3", "decoding.num_beams=4"], {"decoding": {"num_beams": 4}}),
        (["checkpoint.revision=1"], {"checkpoint": {"revision": "1"}}),
        (["precision=bfloat16", "image.size=364"], {"precision": "bfloat16", "image": {"size": 364}}),
    ],
)
def test_overrides(reader: Reader, values: list[str], overrides: dict[str, Any]) -> None:
    """KEY=VALUE changes one key of the protocol: text where the key holds text, else a number or a word as YAML reads it."""
    found = reader(set=values).overrides
    assert found == overrides
    assert repr(found) == repr(overrides)  # 1 is not True and not 1.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("decoding.num_beams", "expected KEY=VALUE, such as decoding.num_beams=1"),
        ("", "expected KEY=VALUE, such as decoding.num_beams=1"),
        ("=1", f"unknown protocol key ''; known: {KNOWN}"),
        (
            "decoding.beams=1",
            f"unknown protocol key 'decoding.beams', did you mean 'decoding.num_beams'?; known: {KNOWN}",
        ),
        ("num_beams=1", f"unknown protocol key 'num_beams', did you mean 'decoding.num_beams'?; known: {KNOWN}"),
        ("promt=", f"unknown protocol key 'promt', did you mean 'prompt'?; known: {KNOWN}"),
        ("evaluator=x", f"unknown protocol key 'evaluator'; known: {KNOWN}"),
        ("decoding=greedy", f"unknown protocol key 'decoding', did you mean 'decoding.strategy'?; known: {KNOWN}"),
        ("decoding.num_beams=", "expected a whole number, got ''"),
        ("decoding.num_beams=five", "expected a whole number, got 'five'"),
        ("decoding.num_beams=1.0", "expected a whole number, got 1.0"),
        ("decoding.num_beams=true", "expected a whole number, got true"),
        ("decoding.num_beams=0", "expected a number above 0, got 0"),
        ("decoding.num_beams=null", "expected a value to run with, got nothing"),
        ("decoding.min_new_tokens=-1", "expected a number of at least 0, got -1"),
        ("decoding.repetition_penalty=.inf", "expected a number, got '.inf'"),
        ("decoding.early_stopping=no", "expected true or false or 'never', got 'no'"),
        ("decoding.strategy=gredy", "expected 'greedy', 'beam' or 'rank', got 'gredy', did you mean 'greedy'?"),
        ("decoding.strategy=", "expected 'greedy', 'beam' or 'rank', got ''"),
        ("precision=fp16", "expected 'float16', 'bfloat16' or 'float32', got 'fp16', did you mean 'float16'?"),
        ("image.size=3.5", "expected a whole number or text, got 3.5"),
        ("checkpoint.id=", "expected text that is not empty, got ''"),
    ],
)
def test_bad_overrides(reader: Reader, value: str, text: str) -> None:
    """An override that names no key of the protocol, or a value that the key cannot have, is refused before anything runs."""
    assert reader.refused(set=["prompt=x", value]) == f"--claims-set={value}: {text}"


@pytest.mark.parametrize("key", protocol_keys())
def test_every_key_can_be_overridden(reader: Reader, key: str) -> None:
    """Each single value of the protocol has a key, and a value of the right kind is taken over as the protocol keeps it."""
    values = {
        "image.resize": "lanczos",
        "decoding.strategy": "beam",
        "precision": "float16",
        "decoding.early_stopping": "false",
        "image.normalize": "false",
        "image.convert_rgb": "true",
        "image.channel_order": "bgr",
        "ranking.score": "matching",
        "ranking.text": "as_is",
    }
    overrides = reader(set=[f"{key}={values.get(key, '7')}"]).overrides
    strategy = "rank" if key.rpartition(".")[2] in CLOSED else "beam"
    needed: dict[str, dict[str, Any]] = {
        "checkpoint": {"id": "x"},
        "dataset": {"id": "x", "images": 1},
        "image": {"size": 1},
        "decoding": {"strategy": strategy},
        "ranking": {"rerank": 1},
    }
    protocol = Protocol.model_validate(
        {name: {**needed[name], **below} if isinstance(below, dict) else below for name, below in overrides.items()}
    )
    given: Any = overrides
    kept: Any = protocol.model_dump()
    for part in key.split("."):
        given, kept = given[part], kept[part]
    assert str(given).lower() == values.get(key, "7")  # False was written as false
    assert kept == given


def test_defaults_outside_pytest() -> None:
    """An option that a program does not give has the value that it has in pytest."""
    from pytest_claims import plugin, settings

    class Parser:
        """Takes what the plugin registers."""

        def __init__(self) -> None:
            self.found: dict[str, Any] = {}

        def getgroup(self, *_: Any) -> Parser:
            return self

        def addoption(self, name: str, *, default: Any = None, action: str = "store", **_: Any) -> None:
            self.found[name.lstrip("-").replace("-", "_")] = False if action == "store_true" else default

        def addini(self, *_: Any, **__: Any) -> None:
            """Ini values are the ini file's."""

    parser = Parser()
    plugin.pytest_addoption(parser)  # type: ignore[arg-type] # what it needs of a parser
    given = {name: list(value) if value == () else value for name, value in settings.DEFAULTS.items()}
    assert given == {name: value for name, value in parser.found.items() if value is not None}


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is installed, as far as the settings can tell."""
    monkeypatch.setattr(settings, "installed", lambda _package: True)


@pytest.mark.usefixtures("with_ray")
def test_an_executor(reader: Reader) -> None:
    """The executor and the CPUs of its actors, from the command line or from the ini file, which the command line overrides."""
    found = reader(executor="ray", actor_cpus="2", device="cuda")
    assert (found.executor, found.actor_cpus, found.device) == ("ray", 2, "cuda")
    ini = {"claims_executor": "ray", "claims_actor_cpus": "8"}
    default = {name: reader.config.getoption(name) for name in vars(reader.config.option) if name.startswith("claims_")}
    assert read(default.get, lambda name: ini.get(name, ""), reader.folder).actor_cpus == 8
    local = read({**default, "claims_executor": "local"}.get, lambda name: ini.get(name, ""), reader.folder)
    assert local.executor == "local"


@pytest.mark.usefixtures("with_ray")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"executor": "rya"}, "--claims-executor=rya: expected local or ray, did you mean 'ray'?"),
        (
            {"executor": "ray", "device": "cuda:1"},
            "--claims-device=cuda:1: Ray chooses the GPU of each actor; say cuda, or --claims-executor=local",
        ),
        ({"executor": "ray", "actor_cpus": "0"}, "--claims-actor-cpus=0: expected a number of CPUs of at least 1"),
        ({"executor": "ray", "actor_cpus": "two"}, "--claims-actor-cpus=two: expected a number of CPUs of at least 1"),
        ({"actor_cpus": "2"}, "--claims-actor-cpus=2: there are no actors without --claims-executor=ray"),
    ],
)
def test_executors_that_are_not_valid(reader: Reader, given: dict[str, Any], message: str) -> None:
    """They are refused before anything runs."""
    assert reader.refused(**given) == message


def test_an_executor_that_is_not_installed(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Ray, the message is the line that installs it."""
    monkeypatch.setattr(settings, "installed", lambda package: package != "ray")
    assert reader.refused(executor="ray") == (
        "--claims-executor=ray: Ray is not installed: pip install 'pytest-claims[ray]'"
    )
