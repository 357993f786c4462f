"""The simulated registries are here."""

from tests.registries.fixtures import internet, open_brand

__all__ = ["internet", "open_brand"]
