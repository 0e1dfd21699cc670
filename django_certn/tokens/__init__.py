"""Tokens: fetched once for all processes, kept in Django's cache, renewed before they end.

A call goes down through these rooms and comes back from the first that can answer: the memo
(``memo.py``, a dictionary), the row and its flight (``search.py``, ``flight.py``), the shared cache
(``fetch.py``, ``store.py``), the exchange (``django_certn.oauth``).
"""

from django_certn.tokens.service import service as _service
from django_certn.tokens.token import AccessToken

__all__ = ["AccessToken", "aget_token", "get_token", "invalidate_token", "stats"]

get_token = _service.get_token
aget_token = _service.aget_token
invalidate_token = _service.invalidate_token
stats = _service.stats
