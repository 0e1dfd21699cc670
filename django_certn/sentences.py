"""What each outcome means and what to do next, as sentences by case. `explanations` picks the case.

The second of each pair never begins with the step that ends a key for every system that uses it:
https://docs.certn.co/api/guides/use-the-api
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_certn.exceptions import Status

__all__ = ["AGAIN", "AGAIN_AFTER", "SENTENCES", "Pair"]

Pair = tuple[str | Promise, str | Promise]

# How some hints end, as "%(again)s": the second one when the answer had Retry-After.
AGAIN = _("Verify the key again in a few minutes.")
AGAIN_AFTER = _("The server asks to wait %(wait)s (Retry-After): verify the key again after that.")

# For a pair of Client ID and Client Secret, and for an API key where that has none of its own.
SENTENCES: dict[str, Pair] = {
    Status.OK: (_("The key works: %(vendor)s issued a token."), ""),
    Status.REJECTED: (
        _("%(vendor)s refuses this key%(answer)s."),
        _(
            "Copy both values again from where you keep them, the Client ID and the Client Secret, "
            "and enter them: half a value, quotes around one, or the two swapped are all refused "
            "like this. A key that was made in another environment than %(environment)s is refused "
            "too. Last, if nobody has the pair that is in force: refresh keys on the Partner tab "
            "in %(environment)s, which ends the pair for every system that uses it, and enter the "
            "new pair in each of them."
        ),
    ),
    "just_entered": (
        _("%(vendor)s refuses this key%(answer)s."),
        _(
            "Copy both values again from where you keep them, the Client ID and the Client Secret, "
            "and enter them: half a value, quotes around one, or the two swapped are all refused "
            "like this. A key that was made in another environment than %(environment)s is refused "
            "too."
        ),
    ),
    "unauthorized_client": (
        _("%(vendor)s knows this key, and does not let it fetch tokens%(answer)s."),
        _(
            "A new pair cannot help. Ask Certn to allow the client-credentials grant for this "
            "account in %(environment)s."
        ),
    ),
    "not_certn": (
        _("Something in front of %(address)s asks for a login%(answer)s."),
        _(
            "This says nothing about the key. Find out what answers at %(address)s in the place of "
            "Certn: a gateway, a firewall, or a proxy that wants a login of its own."
        ),
    ),
    Status.RATE_LIMITED: (
        _("%(vendor)s had too many requests%(answer)s."),
        _("This says nothing about the key. %(again)s"),
    ),
    Status.UNREACHABLE: (
        _("The server of %(vendor)s failed%(answer)s."),
        _("This says nothing about the key. %(again)s"),
    ),
    "later": (
        _("%(vendor)s asks to try again later%(answer)s."),
        _("This says nothing about the key. %(again)s"),
    ),
    "timeout": (
        _("%(address)s did not answer in time."),
        _(
            "This says nothing about the key. Verify it again. If that stays so, look for a "
            "firewall or a proxy that lets nothing through, or give it more time: "
            "CERTN_REQUEST_TIMEOUT is in seconds."
        ),
    ),
    "dns": (
        _("%(address)s cannot be reached: %(failure)s."),
        _(
            "This says nothing about the key. Check the name in that address, and the DNS of this "
            "computer; then verify the key again."
        ),
    ),
    "refused": (
        _("%(address)s cannot be reached: %(failure)s."),
        _(
            "This says nothing about the key. Check that the server at %(address)s runs, and that "
            "no firewall keeps this computer from it; then verify the key again."
        ),
    ),
    "certificate": (
        _("%(address)s cannot be reached: %(failure)s."),
        _(
            "This says nothing about the key; it was not sent. If your network inspects TLS, as "
            "many companies do, let the environment variable REQUESTS_CA_BUNDLE name a file of the "
            "certificates to trust, that of its authority among them. Check this computer's clock, "
            "too."
        ),
    ),
    "tls": (
        _("%(address)s cannot be reached: %(failure)s."),
        _(
            "This says nothing about the key; it was not sent. Check that https is spoken at that "
            "address, and what stands between: a proxy, a firewall."
        ),
    ),
    "proxy": (
        _("%(address)s cannot be reached: %(failure)s."),
        _(
            "This says nothing about the key. Check the proxy in the environment variable "
            "HTTPS_PROXY: its address, its login, and whether it lets this computer connect to "
            "%(address)s."
        ),
    ),
    "unanswered": (
        _("No whole answer came from %(address)s: %(failure)s."),
        _(
            "This says nothing about the key. Verify it again. If that stays so, find out what "
            "answers at %(address)s, and what stands between: a proxy, a firewall."
        ),
    ),
    "no_thread": (
        _("Nothing was sent to %(address)s: %(failure)s."),
        _(
            "This says nothing about the key. The process is ending, or has too many threads: "
            "verify the key again from another one."
        ),
    ),
    Status.RETIRED: (
        _("%(vendor)s has retired this API%(answer)s."),
        _(
            "The key is not at fault, and no other key for this API will help. Ask Certn for "
            "access to its newer API, CertnCentric, and store the API key that you make there, "
            "under one of the CertnCentric environments."
        ),
    ),
    Status.BAD_RESPONSE: (
        _("What came from %(address)s is not a token%(answer)s."),
        _(
            "This says nothing about the key. Perhaps it was not Certn that answered: find out "
            "what does at %(address)s, and what stands between: a proxy, a firewall."
        ),
    ),
    "redirect": (
        _("%(address)s answered with a redirect%(answer)s, which is never followed with a key."),
        _(
            "This says nothing about the key. If the host has moved, correct the base_url of "
            "%(environment)s in CERTN_ENVIRONMENTS; else look for a login page of your network."
        ),
    ),
    "forbidden": (
        _("%(vendor)s forbids this request%(answer)s, and does not say why."),
        _(
            "It may be the key's rights (the user that it belongs to must be an Admin integration "
            "user), or something in between that refuses this computer, such as a firewall or a "
            "list of allowed addresses. Verify from another network, then ask Certn about the "
            "rights. A new pair is unlikely to help."
        ),
    ),
    "refused_request": (
        _("%(vendor)s answered as an OAuth server, and refuses %(refused)s%(answer)s."),
        _(
            "This says nothing about the key, and no other key will help. Check that %(address)s "
            "is the address of Certn's OAuth API and that nothing in between changes requests; "
            "then report the code to Certn."
        ),
    ),
    "bug": (
        _("The verification ended in an error of this app%(answer)s."),
        _(
            "This says nothing about the key. Report the error with its line in the log of "
            "django_certn, which holds no secret."
        ),
    ),
    Status.UNDECRYPTABLE: (
        _("The stored secret cannot be read with FIELD_ENCRYPTION_KEY; nothing was sent."),
        _(
            "Put the earlier encryption key, under which it was stored, back into "
            "FIELD_ENCRYPTION_KEY, behind the one in force. Only if that is lost: enter the pair "
            "again or, if nobody has it, refresh keys on the Partner tab in %(environment)s, which "
            "ends the pair for every system that uses it, and enter the new pair in each of them."
        ),
    ),
    "plaintext": (
        _("The stored secret is plain text, not encrypted; nothing was sent."),
        _(
            "Run manage.py certn_reencrypt --encrypt-plaintext, and verify again. Whoever could "
            "read the database, or a backup of it, may know the secret: plan to refresh keys on "
            "the Partner tab in %(environment)s, which ends the pair for every system that uses it."
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
            "Correct CERTN_ENVIRONMENTS: manage.py check says what is wrong. “%(slug)s” needs a "
            "base_url with https:// and a host; plain http is for a loopback host alone."
        ),
    ),
    "client_id": (
        _("The credential has no Client ID; nothing was sent."),
        _(
            "Enter the Client ID: Certn shows it at any time on the Partner tab in "
            "%(environment)s, under API Keys."
        ),
    ),
    "client_secret": (
        _("The credential has no Client Secret; nothing was sent."),
        _(
            "Enter the Client Secret. Only if nobody has it: refresh keys on the Partner tab in "
            "%(environment)s, which ends the pair for every system that uses it, and enter the new "
            "pair in each of them."
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
    "CERTN_TENANT": (
        _("The setting CERTN_TENANT cannot be used; nothing was sent."),
        _(
            "Set CERTN_TENANT to the dotted path of a function that takes no arguments and returns "
            "something hashable, or take the setting out."
        ),
    ),
    "ca_bundle": (
        _(
            "The file of trusted certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names is "
            "missing, cannot be read, or is not PEM; nothing was sent."
        ),
        _(
            "This says nothing about the key. Correct the environment variable "
            "REQUESTS_CA_BUNDLE (CURL_CA_BUNDLE where only that is set) of this process, or unset "
            "it: then the usual public authorities are trusted."
        ),
    ),
    "proxy_url": (
        _("The address of the proxy in HTTPS_PROXY or ALL_PROXY cannot be used; nothing was sent."),
        _(
            "This says nothing about the key. Correct the environment variable HTTPS_PROXY "
            "(ALL_PROXY where only that is set) of this process, or unset it. It reads "
            "http://host:port, with a login percent-encoded before the host; a socks5:// address "
            "needs the package PySocks."
        ),
    ),
    Status.MISCONFIGURED: (
        _("%(code)s is missing or cannot be used; nothing was sent."),
        _("Correct it, in the settings or in the credential, and verify again."),
    ),
}
