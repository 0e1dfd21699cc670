"""Authlib's OAuth server with the one grant that an exchange needs, as a WSGI application.

It percent-decodes both parts of HTTP Basic and leaves "+" alone, and its 401 asks for Basic.
"""

import json
import secrets
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator


class Client(ClientMixin):
    def __init__(self, secret, grants):
        self.secret, self.grants = secret, grants

    def get_allowed_scope(self, scope):
        return scope or ""

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(self.secret, client_secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type):
        return grant_type in self.grants


class Server(AuthorizationServer):
    """`clients` has, by Client ID, the secret and the grants that are allowed."""

    def __init__(self, clients):
        super().__init__()
        self.clients = clients
        self.register_grant(ClientCredentialsGrant)
        generator = BearerTokenGenerator(lambda **kwargs: secrets.token_urlsafe())
        self.register_token_generator("default", generator)

    def query_client(self, client_id):
        return Client(*self.clients[client_id]) if client_id in self.clients else None

    def save_token(self, token, request):
        pass

    def send_signal(self, name, *args, **kwargs):
        pass

    def create_oauth2_request(self, request):
        body = request["wsgi.input"].read(int(request["CONTENT_LENGTH"])).decode()
        headers = {"Authorization": request.get("HTTP_AUTHORIZATION", "")}
        # Authlib wants https, and knows of no exception for a loopback host.
        made = OAuth2Request("POST", "https://localhost/token/", headers=headers)
        made.payload = BasicOAuth2Payload(dict(parse_qsl(body)))
        return made

    def handle_response(self, status, body, headers):
        return status, json.dumps(body), headers

    def __call__(self, environ, start_response):
        status, body, headers = self.create_token_response(environ)
        start_response(f"{status} As Authlib says", list(headers))
        return [body.encode()]
