"""A stand-in for Certn on this computer, so that a site can be built and tried without an account.

Run it with ``python -m django_certn.sandbox``. It needs the extra ``sandbox``, for
django-oauth-toolkit, and lives in a process and settings of its own: nothing else in this package
imports it, and it imports nothing of the site that it serves.

Where things are:

* ``command`` reads the command line, ``server`` listens, ``database`` keeps keys and tokens
* ``api`` is Certn's OAuth API with its token endpoint, ``centric`` is CertnCentric, ``resources``
  and ``errors`` what they share and where they differ
* ``keys`` is the one pair of the OAuth API, ``api_keys`` the keys of CertnCentric
* ``partner`` is the Partner tab and ``portal`` the API keys, pages for people; ``control`` is the
  same for scripts
* ``faults`` is how it misbehaves on request, ``counters`` how often
* ``journal`` is what it was asked
"""

import json

__all__ = ["BANNER", "HEADER", "PREFIX", "settings_line"]

BANNER = "A stand-in for Certn on this computer. Not Certn."

# On every answer, so that nobody takes one for Certn's.
HEADER = "Certn-Sandbox"

# Every id, secret and token begins with it: one that ends up in a log, a mail or a real account's
# form says by itself where it comes from.
PREFIX = "sandbox-"


def settings_line(url: str) -> str:
    """Return the line for the settings of a site that uses a sandbox at ``url``, as Python."""
    environments = {
        "local": {"label": "Sandbox", "base_url": url},
        "local-centric": {"label": "Sandbox, API keys", "base_url": url, "scheme": "api_key"},
    }
    return f"CERTN_ENVIRONMENTS = {json.dumps(environments)}"
