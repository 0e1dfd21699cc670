"""What the sandbox's README says of it, tried."""

import re

import pytest

from django_certn.verification import verify
from tests.conftest import add_environment
from tests.test_docs import code, section, table

MAGIC = [
    (code(row[0]), kind, re.search(r"`(\w+)`$", cell)[1])
    for row in table(section("Magic Client IDs"))
    for kind, cell in zip(("pair", "API key"), row[1:], strict=True)
]
CALLS = [code(row[0]).split(" ") for row in table(section("For scripts"))]


@pytest.mark.django_db
@pytest.mark.parametrize(("magic_id", "kind", "status"), MAGIC)
def test_magic(local, settings, make_credential, magic_id, kind, status):
    if kind == "pair":
        make_credential(client_id=magic_id, client_secret="sandbox-fake")
    else:
        add_environment(settings, "local-centric", "Sandbox", local.url, scheme="api_key")
        make_credential(environment="local-centric", client_id="", client_secret=f"{magic_id}-fake")
    timeout = 0.5 if magic_id == "sandbox-slow" else None
    assert verify("default", timeout=timeout).status == status


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_calls_for_scripts(sandbox, web, method, path):
    wanted = {"faults": []} if path.endswith("faults") else {}
    if method == "DELETE":
        wanted = {"prefix": sandbox.make_api_key().partition(".")[0]}
    assert web.request(method, path, json=wanted).ok


def test_no_other_call_is_there(web):
    paths = {path for _, path in CALLS}
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    there = {
        (method, path)
        for path in paths
        for method in methods
        if web.request(method, path, json={}).status_code not in (403, 405)
    }
    assert there == {tuple(call) for call in CALLS}
