"""Golden messages of meshes, in the folder of those of composing."""

from tests.compose.conftest import golden

__all__ = ["golden"]
