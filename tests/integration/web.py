"""Asks the sandbox over HTTP, as a site or a browser does."""

import re
import uuid

import requests

GRANT = {"grant_type": "client_credentials"}


def any_secret():
    return f"sandbox-fake-{uuid.uuid4()}"


class Web(requests.Session):
    """A session that follows no redirects and asks the sandbox."""

    def __init__(self, url):
        super().__init__()
        self.base = url
        self.trust_env = False

    def request(self, method, path, *, follow=False, timeout=60, **kwargs):
        # get() says that redirects are followed; here nobody does who does not ask for it.
        kwargs["allow_redirects"] = follow
        return super().request(method, self.base + path, timeout=timeout, **kwargs)

    def exchange(self, client_id, secret, **kwargs):
        return self.post("/token/", auth=(client_id, secret), data=GRANT, **kwargs)

    def users(self, token, query=""):
        return self.call("GET", f"/api/v1/users/{query}", token=token)

    def call(self, method, path, *, token=None, key=None, **kwargs):
        """Call an API with a token, with an API key, or with neither."""
        authorization = f"Bearer {token}" if token else f"Api-Key {key}" if key else None
        return self.request(method, path, headers={"Authorization": authorization}, **kwargs)

    def submit(self, page, action=None, **fields):
        html = self.get(page).text
        fields["csrfmiddlewaretoken"] = re.search(r'csrfmiddlewaretoken" value="(\w+)"', html)[1]
        return self.post(action or page, data=fields)
