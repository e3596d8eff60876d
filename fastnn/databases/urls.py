"""A server's URL, whose password is for the server alone."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

# Up to the last @, for a password that is not quoted as a URL's should be.
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:/?#@]*):(?P<password>.*)@|(?<=password=)(?P<option>[^&]*)", re.DOTALL)


class ServerURL:
    """A URL as SQLAlchemy writes it, dialect[+driver]://user:password@host:port/database?option=value.

    Its text, `shown`, has *** for the password; it is not pickled with one.
    """

    def __init__(self, url: str) -> None:
        self.given = url
        self.shown = _PASSWORD.sub(lambda found: f"{found['user']}:***@" if found["option"] is None else "***", url)
        scheme, _, self._rest = url.partition("://")
        found = _PASSWORD.search(url)
        if found is not None and found["option"] is None and re.search("[@/?#]", found["password"]):
            raise ValueError(
                f"the password in {self.shown} must be quoted: %40 for an @, %2F for a /, %3F for a ?, %23 for a #"
            )
        self.dialect, _, self.driver = scheme.partition("+")

    @property
    def has_password(self) -> bool:
        return self.given != self.shown

    def __str__(self) -> str:
        return self.shown

    __repr__ = __str__

    def __reduce__(self) -> Any:
        if self.has_password:
            raise TypeError(
                f"{self.shown} has a password, which is not pickled; leave it out of the URL, for the environment or "
                "the driver's own file (PGPASSWORD, ~/.pgpass, read_default_file)"
            )
        return type(self), (self.given,)

    def of(self, dialect: str) -> str:
        """The same, for a driver that knows it by one name."""
        return f"{dialect}://{self._rest}"

    def hidden(self, text: str) -> str:
        """A message without the password, should it be in there."""
        for found in _PASSWORD.finditer(self.given):
            password = found["password"] if found["option"] is None else found["option"]
            for each in {password, unquote(password)} - {""}:
                text = text.replace(each, "***")
        return text

    def parts(self) -> dict[str, Any]:
        """What a driver's `connect` takes: host, port, user, password, database, and the options. ValueError."""
        try:
            parts = urlsplit(self.given)
            found = {
                "host": parts.hostname,
                "port": parts.port,
                "user": unquote(parts.username or ""),
                "password": unquote(parts.password or ""),
                "database": unquote(parts.path[1:]),
            }
            options: dict[str, Any] = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        except ValueError as error:
            reason = self.hidden(str(error))
            raise ValueError(
                f"{self.shown} is no URL ({reason}); write dialect://user:password@host:port/database"
            ) from None
        return {name: value for name, value in found.items() if value} | {
            name: int(value) if value.isdigit() else value for name, value in options.items()
        }
