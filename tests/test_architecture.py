"""Imports run one way, and what is public says so."""

import ast
import importlib
import inspect
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import django_certn

ROOT = Path(django_certn.__file__).parent

# A module imports from its own layer and from those above it. A new module finds its place here.
LAYERS = [
    ["exceptions"],
    ["conf", "encryption_key"],
    ["expiry", "masked", "origin"],
    ["pasted"],
    ["secret"],
    ["columns", "formfields"],
    ["fields"],
    ["keys", "querysets", "tenancy"],
    ["managers"],
    ["models", "signals"],
    ["reencryption"],
    ["transport", "answers", "decoding", "failures", "oauth", "probe"],
    ["tokens"],
    ["explanations", "outcomes", "recording", "sentences", "verification"],
    ["bulk", "workers"],
    ["client", "requests_auth", "session", "httpx"],
    ["forms", "checks", "management"],
    ["health"],
    ["admin", "changelist", "notices", "templatetags"],
    ["testing"],
    ["pytest_plugin"],
]
LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}

# Django loads these; the sandbox is a site of its own that has nothing to do with the app.
OUTSIDE = {"apps", "migrations", "sandbox"}

PUBLIC = {
    "client": {"CertnAuth", "CertnSession", "aauth_headers", "auth_headers", "base_url"},
    "httpx": {"CertnAuth"},
    "exceptions": {"CertnError", "CertnConfigurationError", "TokenError"},
    "models": {"CertnCredential"},
    "testing": {"Call", "FakeCertn", "fake_certn", "make_credential"},
    "signals": {"credential_status_changed", "credential_verified"},
    "tokens": {"AccessToken", "get_token", "invalidate_token"},
    "verification": {"Verification", "averify", "verify"},
}


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def room_of(module):
    """The part of a module's name that has a place in the layers; the package's own is ""."""
    return module.removeprefix("django_certn").removeprefix(".").partition(".")[0]


def imports_of(module):
    """Every module that this one imports, wherever in its code."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in FILES else node.module)
    return found


def own_imports_of(module):
    return {name for name in imports_of(module) if name in FILES} - {module}


INSIDE = [module for module in FILES if room_of(module) not in OUTSIDE]


@pytest.mark.parametrize("module", INSIDE)
def test_imports_run_one_way(module):
    room = room_of(module)
    if not room:
        assert not own_imports_of(module)
        return
    assert room in LAYER, f"{module} has no place in LAYERS yet"
    for imported in own_imports_of(module):
        above = LAYER.get(room_of(imported), len(LAYERS))
        # The package itself holds nothing but its version.
        assert imported == "django_certn" or above <= LAYER[room], f"{module}: {imported}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: own_imports_of(module) for module in FILES}
    TopologicalSorter(graph).prepare()


def importers_of(*packages):
    return {
        module
        for module in FILES
        for name in imports_of(module)
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    }


def test_only_the_fields_know_the_encryption_package():
    assert importers_of("encrypted_model_fields", "cryptography") == {"django_certn.fields"}


def test_only_the_exchange_knows_the_oauth_package():
    assert importers_of("requests_oauthlib", "oauthlib") == {"django_certn.oauth"}


def test_nothing_imports_what_needs_a_package_that_a_site_may_lack():
    assert importers_of("health_check") == {"django_certn.health"}
    assert not importers_of("django_certn.health", "django_certn.httpx")


def test_nothing_imports_the_admin_or_the_app_config():
    assert not importers_of("django_certn.admin", "django_certn.apps")


def test_nothing_but_itself_imports_the_sandbox_or_what_it_is_built_on():
    importers = importers_of("django_certn.sandbox", "oauth2_provider")
    assert importers
    assert {room_of(module) for module in importers} == {"sandbox"}


def test_nothing_but_themselves_imports_what_is_for_the_tests_of_a_site():
    importers = importers_of("django_certn.testing", "django_certn.pytest_plugin")
    assert {room_of(module) for module in importers} == {"testing", "pytest_plugin"}


def test_what_is_for_the_tests_of_a_site_needs_nothing_that_a_site_may_lack():
    modules = [module for module in FILES if room_of(module) == "testing"]
    assert modules
    for module in modules:
        packages = {name.partition(".")[0] for name in imports_of(module)}
        known = sys.stdlib_module_names | {"asgiref", "django", "django_certn"}
        assert packages <= known, module


def test_the_plugin_loads_nothing_before_it_is_used():
    """It is loaded with every pytest, and before coverage is measured."""
    tree = ast.parse(FILES["django_certn.pytest_plugin"].read_text(encoding="utf-8"))
    loaded = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in loaded}
    assert names == {"collections.abc", "typing", "pytest"}


def test_nothing_imports_the_tests_or_the_example():
    assert not importers_of("tests", "example_project")


@pytest.mark.parametrize(("module", "names"), PUBLIC.items(), ids=PUBLIC)
def test_the_public_names(module, names):
    assert names <= set(importlib.import_module(f"django_certn.{module}").__all__)


@pytest.mark.parametrize("module", ["conf", "fields", "oauth", "secret", *PUBLIC])
def test_what_is_public_is_typed_and_has_a_docstring(module):
    loaded = importlib.import_module(f"django_certn.{module}")

    assert loaded.__doc__
    assert len(loaded.__all__) == len(set(loaded.__all__))
    for name in loaded.__all__:
        public = getattr(loaded, name)
        if inspect.isclass(public) or inspect.isfunction(public):
            assert "." in (public.__doc__ or ""), f"{name} has no docstring"
        if inspect.isfunction(public):
            parameters = inspect.signature(public).parameters.values()
            assert all(parameter.annotation is not parameter.empty for parameter in parameters)
            assert "return" in public.__annotations__, name


def test_the_top_of_the_package_is_typed_and_light():
    assert (ROOT / "py.typed").exists()
    assert django_certn.__version__


def calls_in(path, *names):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in names:
            yield node


def test_a_file_is_read_and_written_the_same_in_every_locale():
    paths = [
        path
        for folder in ("django_certn", "example_project", "tests", ".ci")
        for path in (ROOT.parent / folder).rglob("*.py")
    ]
    calls = [(path, call) for path in paths for call in calls_in(path, "read_text", "write_text")]
    assert calls
    for path, call in calls:
        named = {keyword.arg for keyword in call.keywords}
        assert "encoding" in named, f"{path}, line {call.lineno}: say which encoding"


# The rooms of the token service: each imports from those before it, and a new one finds its place.
ROOMS = [
    "timing",
    "token",
    "held",
    "known",
    "memo",
    "single_flight",
    "cache_worker",
    "shared_cache",
    "outcome",
    "waiting",
    "renewal",
    "tenant",
    "lookup",
    "exchange",
    "coroutines",
    "process",
    "service",
]


def test_the_arrows_of_the_token_service_run_one_way():
    rooms = {name.rpartition(".")[2] for name in FILES if name.startswith("django_certn.tokens.")}
    assert rooms == set(ROOMS)
    for number, room in enumerate(ROOMS):
        imported = {
            name.rpartition(".")[2]
            for name in own_imports_of(f"django_certn.tokens.{room}")
            if name.startswith("django_certn.tokens.")
        }
        assert imported <= set(ROOMS[:number]), room


@pytest.mark.parametrize("module", FILES)
def test_a_module_is_read_in_one_sitting(module):
    lines = len(FILES[module].read_text(encoding="utf-8").splitlines())
    limit = 250 if module.startswith("django_certn.tokens.") else 300
    assert lines <= limit or ".migrations." in module
