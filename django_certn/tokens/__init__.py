"""Tokens: fetched once for all processes, kept in Django's cache, renewed before they end.

A call goes down through these rooms and comes back from the first that can answer: the memo
(``memo.py``, a dictionary), the row of the tenant (``lookup.py``), what the process and the shared
cache know of its key (``known.py``, ``shared_cache.py``), the exchange (``renewal.py``,
`django_certn.oauth`).
"""

from django_certn.tokens.service import aget_token, get_token, invalidate_token, stats
from django_certn.tokens.token import AccessToken

__all__ = ["AccessToken", "aget_token", "get_token", "invalidate_token", "stats"]
