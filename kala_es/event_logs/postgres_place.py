"""Where a log in PostgreSQL is: the database's URL without what is secret in it, and the secrets apart.

1. Nothing prints a secret: `shown` is all that a sentence, an argument or a repr has. A process of ours gets the rest
   by its environment.
2. What a URL may say is libpq's: several hosts, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `service`, ... A
   password that is given nowhere is looked for where libpq does (PGPASSWORD, PGPASSFILE, ~/.pgpass).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from kala_es.event_log import LogAway
from kala_es.setting_values import SettingError
from kala_es.settings import Settings

SCHEMES: Final = ("postgresql://", "postgres://")
SECRETS: Final = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
"""Parameters of a URL that are secret."""
VARIABLE: Final = "KALA_LOG_SECRETS"
"""By which a process of ours is told them."""
SCHEMA: Final = "kala_es"
ELSEWHERE: Final = b"\x00database"
"""In the fold store: which database has the log that its folds are of."""
_USER: Final = re.compile(r"([^@/]*)@")
"""What stands before the host, as libpq finds it: a password may hold any letter but these."""
_HOST: Final = r"(\[[^]@]*\]|[^]\[:,/?@]*)(:\d*)?"
_REST: Final = re.compile(rf"{_HOST}(,{_HOST})*(/[^@?]*)?(\?([^&=]+=[^&]*(&|\Z))*)?")
"""What stands behind it: where a password has such a letter, its end would be taken for a host or a database, and be
shown."""
_UNFIT: Final = (
    "a database's URL is postgresql://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE, where what is special in a user or "
    "a password is percent-encoded (@ is %40, / is %2F)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database. The password in a file counts before one among the `secrets`, and is read for each connection."""

    shown: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    password_file: Path | None = None
    schema: str = SCHEMA

    def __str__(self) -> str:
        return self.shown

    def read_secrets(self) -> dict[str, str]:
        """What is secret, by the names that libpq has. Raises LogAway: the file may be there again."""
        secrets = dict(self.secrets)
        if self.password_file is not None:
            try:
                secrets["password"] = self.password_file.read_text("utf-8").removesuffix("\n")
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                raise LogAway(
                    f"The password of the log's database cannot be read: {self.password_file}: {why}"
                ) from None
        return secrets


Place = Path | Database
"""Where a log is: a directory, or a database."""


def without_secrets(url: str) -> tuple[str, dict[str, str]]:
    """A URL without its passwords, and these as they stand there, by name. The query's counts before the user's.

    Raises SettingError, which repeats nothing of it.
    """
    scheme, _, rest = url.partition("://")
    user, secrets = "", dict[str, str]()
    if found := _USER.match(rest):
        user, _, password = found[1].partition(":")
        user, rest, secrets = f"{user}@", rest[found.end() :], {"password": password} if password else {}
    if not _REST.fullmatch(rest):
        raise SettingError(_UNFIT)
    place, _, query = rest.partition("?")
    kept: list[str] = []
    for parameter in query.split("&"):
        key, _, value = parameter.partition("=")
        if unquote(key) in SECRETS:
            secrets[unquote(key)] = value
        else:
            kept.append(parameter)
    query = "?" * any(kept) + "&".join(kept)
    return f"{scheme}://{user}{place}{query}", secrets


def database_at(url: str) -> Database:
    """The database that a URL names. Raises SettingError."""
    shown, secrets = without_secrets(url)
    return Database(shown=shown, secrets={name: unquote(value) for name, value in secrets.items()})


def database_of(settings: Settings) -> Database | None:
    """The database of the log that the settings name; None: it is in a directory. Raises SettingError."""
    _check(settings)
    if settings.log or settings.jobdb_url:
        url = settings.log or settings.jobdb_url
    elif settings.jobdb == "postgres":
        user = f"{quote(settings.jobdb_username, safe='')}@" if settings.jobdb_username else ""
        url = f"{SCHEMES[0]}{user}{settings.jobdb_address}"
    else:
        return None
    return with_password(database_at(url), settings)


def with_password(database: Database, settings: Settings) -> Database:
    """The same with the password that the settings say, or say where it is; with its own, if they do not."""
    told = {"password": settings.jobdb_password} if settings.jobdb_password else {}
    return replace(database, secrets={**database.secrets, **told}, password_file=settings.jobdb_password_file)


def _check(settings: Settings) -> None:
    """Refuse what contradicts itself, or would be left out of account."""
    if settings.log and settings.jobdb_url:
        raise SettingError("--log and --jobdb-url both name a database")
    if settings.log or settings.jobdb == "postgres":
        if (settings.log or settings.jobdb_url) and (settings.jobdb_address or settings.jobdb_username):
            raise SettingError("--jobdb-address and --jobdb-username are for a database that is given without a URL")
        return
    for name in ("jobdb_url", "jobdb_address", "jobdb_username", "jobdb_password", "jobdb_password_file"):
        if getattr(settings, name):
            raise SettingError(f"--{name.replace('_', '-')}: is for --jobdb postgres")


def place_of(text: str, environment: Mapping[str, str]) -> Place:
    """The place that an argument of ours names: what `words` made of it, or a directory or URL."""
    if not text.startswith(SCHEMES):
        return Path(text)
    found = database_at(text)
    told = json.loads(environment.get(VARIABLE, "{}"))
    return Database(
        shown=found.shown,
        secrets={**found.secrets, **told.get("secrets", {})},
        schema=told.get("schema", SCHEMA),
    )


def words(place: Place) -> tuple[str, dict[str, str]]:
    """A place as an argument for a process of ours, and what its environment must have. Raises LogAway."""
    if isinstance(place, Path):
        return str(place), {}
    return place.shown, {VARIABLE: json.dumps({"secrets": place.read_secrets(), "schema": place.schema})}
