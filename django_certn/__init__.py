"""Certn for Django: the key encrypted in the database, a token in the cache, a live check."""

__version__ = "0.1.0"
