"""What each outcome of a verification means, and what to do next.

Only codes are stored; the sentences are made from them when somebody reads, in that reader's
language.
"""

from http import HTTPStatus

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_certn.answers import FAILURES
from django_certn.conf import Scheme, conf, environment_choices, scheme_of
from django_certn.exceptions import CertnConfigurationError, Status

__all__ = ["explain"]

UNANSWERED = "unanswered"

# By status; `misconfigured` by what is at fault, a field of the credential or a setting.
SENTENCES: dict[str, tuple[str | Promise, str | Promise]] = {
    Status.OK: (_("The key works: %(environment)s issued a token."), ""),
    Status.REJECTED: (
        _("%(environment)s refuses this key%(answer)s."),
        _(
            "Either the key was lost when somebody chose “refresh keys”, or it was made in another "
            "environment than %(environment)s. Enter the pair that is in force; if nobody has it, "
            "refresh keys on the Partner tab in %(environment)s and enter the new pair."
        ),
    ),
    Status.RATE_LIMITED: (
        _("%(environment)s had too many requests%(answer)s."),
        _("This says nothing about the key. Verify it again in a few minutes."),
    ),
    Status.UNREACHABLE: (
        _("The server of %(environment)s failed%(answer)s."),
        _("This says nothing about the key. Verify it again in a few minutes."),
    ),
    UNANSWERED: (
        _("%(address)s cannot be reached: %(failure)s."),
        _(
            "This says nothing about the key. Check that this computer can reach %(address)s "
            "(DNS, firewall, proxy, certificate), and verify the key again."
        ),
    ),
    Status.RETIRED: (
        _("%(environment)s has retired this API%(answer)s."),
        _(
            "The key is not at fault, and no other key will help. Ask Certn for access to its "
            "newer API, CertnCentric."
        ),
    ),
    Status.BAD_RESPONSE: (
        _("What came from %(address)s is not a token%(answer)s."),
        _(
            "Perhaps it was not Certn that answered. Check the address of %(environment)s in the "
            "settings, and what stands between: a proxy, a firewall."
        ),
    ),
    Status.UNDECRYPTABLE: (
        _("The stored secret cannot be read with FIELD_ENCRYPTION_KEY; nothing was sent."),
        _(
            "Put the earlier encryption key back into FIELD_ENCRYPTION_KEY, or refresh keys on the "
            "Partner tab in %(environment)s and enter the new pair."
        ),
    ),
    "environment": (
        _("The environment “%(slug)s” is not in the settings; nothing was sent."),
        _(
            "Add “%(slug)s” to CERTN_ENVIRONMENTS, or choose another environment and enter the key "
            "that was made there."
        ),
    ),
    "CERTN_ENVIRONMENTS": (
        _("The settings of the environment “%(slug)s” cannot be used; nothing was sent."),
        _(
            "Correct CERTN_ENVIRONMENTS: “%(slug)s” needs a base_url with https:// and a host. "
            "Plain http is for a loopback host alone."
        ),
    ),
    "client_id": (
        _("The credential has no Client ID; nothing was sent."),
        _("Enter the Client ID: Certn shows it on the Partner tab, under API Keys."),
    ),
    "client_secret": (
        _("The credential has no Client Secret; nothing was sent."),
        _(
            "Enter the Client Secret; if nobody has it, refresh keys on the Partner tab in "
            "%(environment)s and enter the new pair."
        ),
    ),
    "CERTN_REQUEST_TIMEOUT": (
        _("The setting CERTN_REQUEST_TIMEOUT cannot be used; nothing was sent."),
        _("Set CERTN_REQUEST_TIMEOUT to a number of seconds, more than 0 and at most an hour."),
    ),
    "CERTN_CACHE_ALIAS": (
        _("The setting CERTN_CACHE_ALIAS cannot be used; nothing was sent."),
        _("Set CERTN_CACHE_ALIAS to the name of one of CACHES."),
    ),
}

FORBIDDEN = "forbidden"

# Where it is another story for an API key. Where one is made is reported by third parties; Certn's
# own page says "under Integrations":
# https://centric-api-docs.certn.co/reference/authentication.md
OF_API_KEYS: dict[str, tuple[str | Promise, str | Promise]] = {
    Status.OK: (_("The key works: %(environment)s takes it."), ""),
    Status.REJECTED: (
        SENTENCES[Status.REJECTED][0],
        _(
            "Copy the API key again, all of it, and enter it once more. If it is refused again, it "
            "has ended or was revoked, or was made for another region or environment than "
            "%(environment)s: make a new one there, in Certn's Client Portal under Settings > "
            "Integrations > API Keys, and enter that."
        ),
    ),
    Status.RETIRED: (
        SENTENCES[Status.RETIRED][0],
        _(
            "The key is not at fault, and no other key will help. Ask Certn which API follows this "
            "one."
        ),
    ),
    FORBIDDEN: (
        _("%(environment)s does not permit this request%(answer)s."),
        _(
            "Perhaps the API key lacks permissions: look at them in Certn's Client Portal under "
            "Settings > Integrations > API Keys. A gateway or a firewall answers like this as well."
        ),
    ),
    Status.BAD_RESPONSE: (
        _("What came from %(address)s is not an answer of Certn%(answer)s."),
        SENTENCES[Status.BAD_RESPONSE][1],
    ),
    Status.UNDECRYPTABLE: (
        SENTENCES[Status.UNDECRYPTABLE][0],
        _(
            "Put the earlier encryption key back into FIELD_ENCRYPTION_KEY, or make a new API key "
            "in Certn's Client Portal and enter it."
        ),
    ),
    "client_secret": (
        _("The credential has no API key; nothing was sent."),
        _(
            "Enter the API key; if nobody has it, make a new one in Certn's Client Portal under "
            "Settings > Integrations > API Keys."
        ),
    ),
}


def explain(
    status: str, *, environment: str, http_status: int | None, error_code: str
) -> tuple[str, str]:
    """Return what the outcome means and what to do next, in the active language.

    Both are ``""`` for a status that is not known here.
    """
    case = status
    if status == Status.MISCONFIGURED:
        case = error_code
    elif status == Status.UNREACHABLE and http_status in (None, HTTPStatus.OK):
        case = UNANSWERED
    answer = ", ".join(filter(None, [f"HTTP {http_status}" if http_status else "", error_code]))
    label = str(dict(environment_choices()).get(environment, environment))
    words = {
        "answer": f" ({answer})" if answer else "",
        "environment": label,
        "slug": environment,
        "failure": gettext(FAILURES.get(error_code, error_code)),
        "address": address_of(environment) or label,
    }
    detail, hint = SENTENCES.get(case, ("", ""))
    if scheme_of(environment) == Scheme.API_KEY:
        if case == Status.BAD_RESPONSE and http_status == HTTPStatus.FORBIDDEN:
            case = FORBIDDEN
        detail, hint = OF_API_KEYS.get(case, (detail, hint))
    return str(detail) % words, str(hint) % words


def address_of(environment: str) -> str:
    """Return the base URL, ``""`` when the settings do not tell it (any more)."""
    try:
        return conf.environment(environment).base_url
    except CertnConfigurationError:
        return ""
