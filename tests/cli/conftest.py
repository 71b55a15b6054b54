"""Golden files, and packages that are generated and installed."""

from tests.compose.conftest import golden
from tests.plugins.conftest import installing, package

__all__ = ["golden", "installing", "package"]
