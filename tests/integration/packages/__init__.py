"""The app beside packages that a site may have and that nothing else here needs.

Each is seen in a process of its own, for such a package changes Django when it starts, and often
needs settings, an admin or a database that are unlike those of the other tests. To add one:

1. Name it in the dependency group `ci` of pyproject.toml, the only place where it is installed.
2. Write the site as a module here that is no test, `tenant_site.py` say: it calls
   `settings.configure()` and `django.setup()`, does something, and prints one JSON document. The
   arguments of `printed_by()` are on its command line.
3. Write the tests beside it, in `test_tenants.py`. They ask for the document in a fixture of the
   module's or the session's scope, so that the process runs once, and judge it:

       @pytest.fixture(scope="module")
       def seen(postgresql):
           return printed_by("tenant_site", json.dumps(postgresql), needs="django_tenants")

Nothing needs to be registered. All tests in this folder have the marker `package`: without the
package they skip, and `.ci/run` runs them with one pair of Python and Django, where everything is
installed and none may skip.
"""
