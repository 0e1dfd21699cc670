"""Another process of the site, without starting one: a token service of its own."""

from django_certn import tokens
from django_certn.tokens.process import TokenService
from django_certn.tokens.service import install, token_of


class Process:
    """The public functions as that process has them; the arguments are those of its service."""

    def __init__(self, **parts):
        self.service = TokenService(**parts)

    def call(self, function, *args, **options):
        earlier = install(self.service)
        try:
            return function(*args, **options)
        finally:
            install(earlier)

    def get_token(self, *args, **options):
        return self.call(tokens.get_token, *args, **options)

    async def aget_token(self, name="default", *, min_validity=0, timeout=20.0):  # noqa: ASYNC109
        return token_of(await self.service.afind(name, min_validity, timeout), name)

    def invalidate_token(self, *args):
        return self.call(tokens.invalidate_token, *args)

    def stats(self):
        return self.call(tokens.stats)

    def verify(self, key, timeout=10.0):
        return self.service.exchange_now(key, timeout)

    def forget_memos(self):
        self.service.memos.forget()

    def clear(self):
        self.service.clear()
