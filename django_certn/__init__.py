"""Certn for Django: the key encrypted in the database, a token in the cache, a live check.

pytest need not rewrite this package, whose plugin it loads: PYTEST_DONT_REWRITE
"""

__version__ = "0.1.0"
