"""Log lines that programs read: always one JSON object each, whatever is in a record."""

from __future__ import annotations

import json
import logging

import pytest

from shared.telemetry import JsonFormatter, TextFormatter


@pytest.mark.parametrize("value", ["ü\x1b\n", "\udcff", 2**80, {1: {2}}, b"\xff", None, float("nan")])
def test_every_record_is_one_json_object(value):
    record = logging.LogRecord("hub", logging.INFO, "", 0, "a file cannot be read", (), None)
    record.file = value
    line = JsonFormatter().format(record)

    assert "\n" not in line
    assert json.loads(line)["message"] == "a file cannot be read"
    assert "file" in json.loads(line)


def test_text_of_others_does_not_begin_a_line_of_its_own():
    record = logging.LogRecord("hub", logging.WARNING, "", 0, "a message was dropped", (), None)
    record.subject = "x\n12:00:00 info    login ok\x1b[2K\u202e"

    line = TextFormatter().format(record)

    assert line.isprintable()
    assert "subject=x 12:00:00 info" in line
