"""Certn for a site's own tests: no network, no stored key, no cache.

`fake_certn` puts a whole token service in the place of the one that the site uses, for as long as a
test lasts: as a context manager, as a decorator of a test or of a test case, and as the fixture
``certn`` of pytest. It supplies tokens and headers for ``https://certn.test``, a host that does not
exist, and answers no call: the calls themselves are mocked by the library that the site uses for
others.
"""

from django_certn.testing.certn import FakeCertn
from django_certn.testing.context import fake_certn
from django_certn.testing.rows import make_credential
from django_certn.testing.service import Call

__all__ = ["Call", "FakeCertn", "fake_certn", "make_credential"]
