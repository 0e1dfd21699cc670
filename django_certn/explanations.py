"""What each outcome of a verification means, and what to do next.

Only codes are stored; the sentences are made from them when somebody reads, in that reader's
language.
"""

from http import HTTPStatus

from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from django_certn.answers import ERROR_CODES, FAILURES, LATER, LATER_STATUSES
from django_certn.conf import Scheme, conf, environment_choices, scheme_of
from django_certn.exceptions import CertnConfigurationError, Status
from django_certn.sentences import AGAIN, AGAIN_AFTER, SENTENCES, Pair

__all__ = ["explain", "label_of", "vendor_of"]

# Where it is another story for an API key. Where one is made is reported by third parties; Certn's
# own page says "under Integrations":
# https://centric-api-docs.certn.co/reference/authentication.md
OF_API_KEYS: dict[str, Pair] = {
    Status.OK: (_("The key works: %(vendor)s takes it."), ""),
    Status.REJECTED: (
        SENTENCES[Status.REJECTED][0],
        _(
            "Copy the API key again, all of it, and enter it once more. If it is refused again, it "
            "has ended or was revoked, or was made for another region or environment than "
            "%(environment)s: make a new one there, in Certn's Client Portal under Settings > "
            "Integrations > API Keys, and enter that."
        ),
    ),
    "just_entered": (
        SENTENCES[Status.REJECTED][0],
        _(
            "Copy the API key again, all of it, and enter it once more. A key that was made for "
            "another region or environment than %(environment)s is refused too."
        ),
    ),
    Status.RETIRED: (
        SENTENCES[Status.RETIRED][0],
        _(
            "The key is not at fault, and no other key will help. Ask Certn which API follows this "
            "one."
        ),
    ),
    "forbidden": (
        _("%(vendor)s does not permit this request%(answer)s."),
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
            "Put the earlier encryption key, under which it was stored, back into "
            "FIELD_ENCRYPTION_KEY, behind the one in force. Only if that is lost: make a new API "
            "key in Certn's Client Portal and enter it."
        ),
    ),
    "plaintext": (
        SENTENCES["plaintext"][0],
        _(
            "Run manage.py certn_reencrypt --encrypt-plaintext, and verify again. Whoever could "
            "read the database, or a backup of it, may know the key: make a new one in Certn's "
            "Client Portal, enter it wherever this one is used, and revoke this one only then."
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

# What an OAuth server refuses that answers with one of its codes, none of which is about the key.
REFUSED = {
    "access_denied": pgettext_lazy("what a server refuses", "access"),
    "insufficient_scope": pgettext_lazy("what a server refuses", "the scope of the request"),
    "invalid_grant": pgettext_lazy("what a server refuses", "the grant “client_credentials”"),
    "invalid_request": pgettext_lazy("what a server refuses", "the form of the request"),
    "invalid_scope": pgettext_lazy("what a server refuses", "the scope, though none is asked for"),
    "invalid_token": pgettext_lazy("what a server refuses", "a token, though none is sent"),
    "unsupported_grant_type": pgettext_lazy(
        "what a server refuses", "the grant “client_credentials”"
    ),
}
ANY_REQUEST = pgettext_lazy("what a server refuses", "the request")


def explain(  # noqa: PLR0913 - what a verification holds
    status: str,
    *,
    environment: str,
    http_status: int | None,
    error_code: str,
    retry_after: int | None = None,
    just_entered: bool = False,
) -> tuple[str, str]:
    """Return what the outcome means and what to do next, in the active language.

    Both are ``""`` for a status that is not known here.

    Args:
        status: one of `Status`.
        environment: the slug.
        http_status: of the answer.
        error_code: of the outcome.
        retry_after: seconds that the answer asked to wait.
        just_entered: whether the secret was changed minutes before; then it is not likely that
            the key was lost.
    """
    case = case_of(status, http_status, error_code)
    if case == Status.REJECTED and just_entered:
        case = "just_entered"
    detail, hint = SENTENCES.get(case, ("", ""))
    if scheme_of(environment) == Scheme.API_KEY:
        detail, hint = OF_API_KEYS.get(case, (detail, hint))
    words = words_of(environment, http_status, error_code)
    again = AGAIN_AFTER if retry_after else AGAIN
    words["again"] = str(again) % {"wait": duration(retry_after or 0)}
    return str(detail) % words, str(hint) % words


def case_of(status: str, http_status: int | None, error_code: str) -> str:
    """Return which of `SENTENCES` it is."""
    if status == Status.MISCONFIGURED:
        return error_code if error_code in SENTENCES else status
    if status == Status.UNDECRYPTABLE:
        return error_code or status
    if status == Status.REJECTED and error_code in ("unauthorized_client", "not_certn"):
        return error_code
    if status == Status.UNREACHABLE:
        return unreachable(http_status, error_code)
    if status == Status.BAD_RESPONSE:
        return bad_response(http_status, error_code)
    return status


def unreachable(http_status: int | None, error_code: str) -> str:
    if error_code in LATER or http_status in LATER_STATUSES:
        return "later"
    if http_status not in (None, HTTPStatus.OK, HTTPStatus.NOT_FOUND):
        return Status.UNREACHABLE
    return error_code if error_code in SENTENCES else "unanswered"


def bad_response(http_status: int | None, error_code: str) -> str:
    if http_status is None:
        return "bug"
    if error_code == "redirect":
        return error_code
    if http_status == HTTPStatus.FORBIDDEN:
        return "forbidden"
    if http_status != HTTPStatus.OK and error_code in ERROR_CODES:
        return "refused_request"
    return Status.BAD_RESPONSE


def words_of(environment: str, http_status: int | None, error_code: str) -> dict[str, str]:
    label = label_of(environment)
    # What a server said is shown; our own codes have become sentences.
    said = "" if error_code in ("not_certn", "redirect") else error_code
    answer = ", ".join(filter(None, [f"HTTP {http_status}" if http_status else "", said]))
    return {
        "address": address_of(environment) or label,
        "answer": f" ({answer})" if answer else "",
        "code": error_code,
        "environment": label,
        "failure": gettext(FAILURES.get(error_code, error_code)),
        "refused": str(REFUSED.get(error_code, ANY_REQUEST)),
        "slug": environment,
        "vendor": vendor_of(label),
    }


def label_of(environment: str) -> str:
    """Return what people call the environment, its slug when the settings do not have it."""
    return str(dict(environment_choices()).get(environment, environment))


def vendor_of(label: str) -> str:
    """Return how sentences name Certn in the environment of that label."""
    return label if label.startswith("Certn") else f"Certn ({label})"


def address_of(environment: str) -> str:
    """Return the base URL, ``""`` when the settings do not have it (any more)."""
    try:
        return conf.environment(environment).base_url
    except CertnConfigurationError:
        return ""


def duration(seconds: int) -> str:
    """Return it with the symbol of a unit, which is the same in each language."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{-(-seconds // size)} {unit}"
    return f"{seconds} s"
