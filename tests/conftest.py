"""Fixtures that several files use."""

from support.fake_home import fake

__all__ = ["fake"]
