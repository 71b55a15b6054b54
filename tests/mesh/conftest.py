"""Whole messages of meshes stand beside those of composing."""

from tests.compose.conftest import golden

__all__ = ["golden"]
