"""A shop for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.artifacts.conftest import Site, site
from tests.neighbours.shop import Shop, open_shop

__all__ = ["site"]


@pytest.fixture
def shop(site: Site, tmp_path: Path) -> Iterator[Shop]:
    """A hub's registry and no device yet."""
    with open_shop(site, tmp_path) as made:
        yield made
