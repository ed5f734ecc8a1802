"""The rules of Prometheus and the routes of Alertmanager are valid, tested and in step."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.errors import OutsideError
from perennial.settings import PROJECT
from tools import programs
from tools.rules import FILE, SOURCE, derived

CASES = sorted(FILE.parent.glob("*_test.yml"))
ALERTMANAGER = PROJECT / "compose" / "alertmanager" / "alertmanager.yml"


def _load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def _alerts() -> Iterator[dict[str, Any]]:
    for group in _load(SOURCE)["spec"]["groups"]:
        yield from (rule for rule in group["rules"] if "alert" in rule)


def _check(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [programs.require(program), *arguments],
        cwd=FILE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_has_the_rules_of_kubernetes() -> None:
    assert FILE.read_text() == derived(), "run `make dashboards`"
    assert _load(FILE) == _load(SOURCE)["spec"]


def test_prometheus_takes_rules_and_configuration() -> None:
    _check("promtool", "check", "config", "prometheus.yml")


def test_every_alert_fires_when_it_must_and_only_then() -> None:
    _check("promtool", "test", "rules", *(file.name for file in CASES))


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    firing, quiet = set(), set()
    for case in (case for file in CASES for case in _load(file)["tests"]):
        for asked in case["alert_rule_test"]:
            expected = asked.get("exp_alerts", [])
            firing |= {(asked["alertname"], one["exp_labels"]["severity"]) for one in expected}
            if not expected:
                quiet.add(asked["alertname"])

    alerts = {(rule["alert"], rule["labels"]["severity"]) for rule in _alerts()}
    assert firing == alerts
    assert quiet == {name for name, _ in alerts}


def test_every_alert_says_how_urgent_it_is_and_names_a_figure() -> None:
    for rule in _alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert "$value" in rule["annotations"]["summary"], rule["alert"]


def test_every_runbook_says_what_it_means_where_to_look_and_what_to_do() -> None:
    text = (PROJECT / "docs" / "runbooks.md").read_text()
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    alerts = {rule["alert"] for rule in _alerts()}

    assert sections.keys() == alerts
    for name, section in sections.items():
        for part in ("**It means**", "**Look here**", "**Do this**"):
            assert part in section, name


@pytest.mark.parametrize(
    ("namespace", "receiver"),
    [
        ("perennial-production", "page"),
        ("", "page"),
        ("perennial-staging", "ticket"),
        ("perennial-local", "ticket"),
    ],
)
def test_only_production_wakes_somebody(namespace: str, receiver: str) -> None:
    labels = ["severity=page", "alertname=ServiceDown", f"namespace={namespace}"]
    config = f"--config.file={ALERTMANAGER}"
    _check("amtool", "config", "routes", "test", config, f"--verify.receivers={receiver}", *labels)


def test_alertmanager_takes_its_configuration() -> None:
    _check("amtool", "check-config", str(ALERTMANAGER))


def test_alertmanager_has_the_same_routes_on_a_cluster() -> None:
    addons = _load(PROJECT / "k8s" / "addons" / "monitoring.yaml")

    assert addons["alertmanager"]["config"] == _load(ALERTMANAGER)


def test_alertmanager_finds_its_templates_wherever_it_was_unpacked(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [
                *programs.command("alertmanager"),
                f"--config.file={ALERTMANAGER}",
                f"--storage.path={tmp_path}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    # With its configuration read it had everything but the port.
    assert "address already in use" in done.stderr


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="there are no Debian packages here")
def test_packages_are_unpacked_where_the_machine_has_no_prometheus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = tmp_path / "package" / "DEBIAN"
    debian.mkdir(parents=True)
    (debian / "control").write_text(
        "Package: prometheus\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\n"
        "Description: stands for the real one\n"
    )
    folder = tmp_path / "package" / "usr" / "bin"
    folder.mkdir(parents=True)
    (folder / "promtool").write_text("#!/bin/sh\n")
    (folder / "promtool").chmod(0o755)
    package = tmp_path / "one.deb"
    subprocess.run(
        ["dpkg-deb", "--build", str(debian.parent), str(package)], check=True, capture_output=True
    )
    monkeypatch.setattr(programs, "_FOLDER", tmp_path / "unpacked")
    monkeypatch.setattr(programs, "_download", lambda folder: shutil.copy(package, folder))

    programs.install()
    monkeypatch.setenv("PATH", "")

    assert programs.require("promtool").is_relative_to(tmp_path)
    with pytest.raises(OutsideError, match="run `python"):
        programs.require("amtool")


def test_a_machine_without_packages_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(OutsideError, match="install prometheus prometheus-alertmanager"):
        programs.install()
