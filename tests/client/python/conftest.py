"""Chosen dice for everybody: each delay is half of what it may be."""
import pytest

import slackwater


@pytest.fixture(autouse=True)
def even_dice(monkeypatch):
    monkeypatch.setattr(slackwater, "random", lambda: 0.5)
