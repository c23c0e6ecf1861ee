"""Rules, alerts and dashboards: they parse, say what to do, and are what their source says."""

from __future__ import annotations

import json
import re
import runpy

import pytest

from tests.support.observability import DASHBOARDS, FOLDER, RULES, expressions, panels, promtool

ALERTS = FOLDER / "rules" / "alerts.rules.yml"


@pytest.mark.needs("promtool")
def test_configuration_and_rules_are_what_prometheus_reads():
    for command in (("check", "config", "prometheus.yml"), ("check", "rules", *RULES)):
        done = promtool(*command)
        assert done.returncode == 0, done.stderr
    assert "2 rule files found" in promtool("check", "config", "prometheus.yml").stdout


@pytest.mark.needs("promtool")
def test_alerts_are_raised_when_they_should_and_not_otherwise():
    done = promtool("test", "rules", "alerts.test.yml", folder=FOLDER / "rules")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_a_unit_test_of_an_alert_can_fail(tmp_path):
    """Another threshold, and the tests of the alerts say so."""
    for path in (FOLDER / "rules").iterdir():
        text = path.read_text("utf-8").replace("regie_disk_free_ratio < 0.1", "regie_disk_free_ratio < 0.01")
        (tmp_path / path.name).write_text(text)
    assert promtool("test", "rules", "alerts.test.yml", folder=tmp_path).returncode == 1


@pytest.mark.needs("promtool")
def test_every_panel_asks_what_prometheus_can_answer(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions())]
    # JSON is YAML.
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", tmp_path / "panels.yml")
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_every_alert_says_what_to_look_at_and_has_a_test():
    text = ALERTS.read_text("utf-8")
    alerts = re.split(r"^      - alert: ", text, flags=re.MULTILINE)[1:]
    tests = (FOLDER / "rules" / "alerts.test.yml").read_text("utf-8")
    assert len(alerts) >= 11
    for alert in alerts:
        name = alert.split("\n", 1)[0]
        assert re.search(r'runbook: ".{40,}"', alert), name
        assert re.search(r"severity: (page|warn)", alert), name
        assert name in tests


def test_recorded_series_of_panels_and_alerts_are_recorded():
    recorded = set(re.findall(r"record: (\S+)", (FOLDER / "rules" / "recording.rules.yml").read_text("utf-8")))
    named = set(re.findall(r"\bregie:[a-z0-9_:]+", "\n".join((ALERTS.read_text("utf-8"), *expressions()))))
    assert named
    assert named <= recorded


def test_dashboards_are_what_their_source_makes():
    made = runpy.run_path(str(FOLDER / "grafana" / "make_dashboards.py"))
    assert {path.name: path.read_text("utf-8") for path in DASHBOARDS} == made["texts"]()


def test_panels_have_places_of_their_own():
    taken = [(name, tuple(panel["gridPos"].values())) for name, panel in panels()]
    assert len(set(taken)) == len(taken) >= 20
    assert len({(name, panel["id"]) for name, panel in panels()}) == len(taken)


def test_images_are_pinned_and_the_processing_log_has_a_pipeline_of_its_own():
    compose = (FOLDER / "compose.yaml").read_text("utf-8")
    images = re.findall(r"image: (\S+)", compose)
    assert len(images) == 4
    assert all(re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", image) for image in images)
    assert "Not run here" in compose
    collector = (FOLDER / "collector.yaml").read_text("utf-8")
    pipelines = re.findall(
        r"traces/(\w+):\n\s+receivers: \[otlp/(\w+)\](?:\n\s+processors: \[(.*)\])?\n\s+exporters: \[(\S+)\]", collector
    )
    assert pipelines == [
        ("telemetry", "telemetry", "memory_limiter, batch", "otlp/traces"),
        ("processing_log", "processing_log", "", "file/processing_log"),
    ]
