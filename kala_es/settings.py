"""Every setting, its default, and where it may come from: flag, then KALA_ES_* variable, then file, then default.

One table (`SETTINGS`) names them all; the command line, the environment, the file and the documentation read it.
A value that does not fit is refused with a sentence that names the setting and where it came from.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from kala_es.domain.ids import SECOND, Micros
from kala_es.domain.retention import Kept
from kala_es.setting_values import (
    JobDb,
    OnStop,
    SettingError,
    read_bytes,
    read_database,
    read_flag,
    read_hosts,
    read_jobdb,
    read_minutes,
    read_not,
    read_number,
    read_on_stop,
    read_path,
    read_port,
    read_seconds,
    read_secret,
    read_some_path,
    read_tags,
    read_text,
    read_url,
)

PREFIX: Final = "KALA_ES_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a node is to run. Durations are seconds; `jobstat_ttl` is minutes, -1 for ever."""

    port: int = 8000
    interface: str = "127.0.0.1"
    node_name: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    data: Path = Path("kala-data")
    log: str = field(default="", repr=False)
    jobdb: JobDb = "lmdb"
    jobdb_address: str = field(default="", repr=False)
    jobdb_username: str = ""
    jobdb_password: str = field(default="", repr=False)
    jobdb_password_file: Path | None = None
    jobdb_url: str = field(default="", repr=False)
    default_owner: str = ""
    persist: bool = True
    delete_all: bool = True
    local_jobs: bool = True
    jobstat_ttl: float = -1
    keep_runs: int = 0
    keep_for: float = 0
    keep_output: int = 0
    on_stop: OnStop = "wait"
    grace: float = 3 * 3600.0
    allowed_hosts: tuple[str, ...] = ()
    verbose: bool = False
    log_dir: Path | None = None
    notify_url: str = ""
    mailer_host: str = ""
    mailer_port: int = 587
    mailer_username: str = ""
    mailer_password: str = field(default="", repr=False)
    mailer_password_file: Path | None = None
    mailer_from_address: str = ""
    mailer_skip_verify: bool = False

    @property
    def kept(self) -> Kept:
        """What is kept of the runs of a job that says nothing of it."""
        seconds = self.keep_for or (None if self.jobstat_ttl < 0 else self.jobstat_ttl * 60)
        return Kept(
            runs=self.keep_runs or None,
            micros=None if seconds is None else Micros(round(seconds * SECOND)),
            output_bytes=self.keep_output or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: its flags, how its text is read, and what it is for. A switch takes no value and sets `to`."""

    name: str
    flags: tuple[str, ...]
    read: Callable[[Any], Any]
    help: str
    switch: bool = False
    to: bool = True


SETTINGS: Final = (
    Setting(name="port", flags=("-p", "--port"), read=read_port, help="port to listen on; 0 picks a free one"),
    Setting(name="interface", flags=("-i", "--interface"), read=read_text, help="address to listen on"),
    Setting(
        name="node_name",
        flags=("--node-name",),
        read=read_text,
        help="what the node calls itself in /v1; the host's name if not given",
    ),
    Setting(
        name="tags",
        flags=("--tag",),
        read=read_tags,
        help="the node's tags, key=value and separated by commas: it runs jobs that ask for no other",
    ),
    Setting(
        name="data",
        flags=("--data",),
        read=read_path,
        help="directory of the event log, or of what is computed from one in PostgreSQL",
    ),
    Setting(
        name="log",
        flags=("--log",),
        read=partial(read_database, name="log"),
        help="the PostgreSQL database that keeps the event log: postgresql://USER@HOST:PORT/DATABASE",
    ),
    Setting(name="jobdb", flags=("--jobdb",), read=read_jobdb, help="what keeps the event log: lmdb, or postgres"),
    Setting(
        name="jobdb_address",
        flags=("--jobdb-address",),
        read=partial(read_secret, name="jobdb_address"),
        help="of postgres: HOST:PORT/DATABASE; ?sslmode=verify-full&sslrootcert=FILE and the like may follow",
    ),
    Setting(name="jobdb_username", flags=("--jobdb-username",), read=read_text, help="its user"),
    Setting(
        name="jobdb_password",
        flags=("--jobdb-password",),
        read=partial(read_secret, name="jobdb_password"),
        help="the user's password; a flag can be seen by every user of the machine, a file cannot",
    ),
    Setting(
        name="jobdb_password_file",
        flags=("--jobdb-password-file",),
        read=read_some_path,
        help="file that holds the password; read for each connection",
    ),
    Setting(
        name="jobdb_url",
        flags=("--jobdb-url",),
        read=partial(read_database, name="jobdb_url"),
        help="of postgres: all of that in one URL, as --log",
    ),
    Setting(name="default_owner", flags=("-o", "--default-owner"), read=read_text, help="owner of jobs that name none"),
    Setting(
        name="persist",
        flags=("-n", "--no-persist"),
        read=read_not,
        help="keep everything in memory only; nothing survives the process",
        switch=True,
        to=False,
    ),
    Setting(
        name="delete_all",
        flags=("--no-delete-all",),
        read=read_not,
        help="refuse to delete all jobs at once",
        switch=True,
        to=False,
    ),
    Setting(
        name="local_jobs",
        flags=("--no-local-jobs",),
        read=read_not,
        help="refuse jobs that run commands here",
        switch=True,
        to=False,
    ),
    Setting(
        name="jobstat_ttl",
        flags=("--jobstat-ttl",),
        read=read_minutes,
        help="minutes for which ended runs are shown, and their output is kept; -1 for ever",
    ),
    Setting(
        name="keep_runs",
        flags=("--keep-runs",),
        read=read_number,
        help="of each job that says nothing of it, keep the output of so many runs; 0 for all",
    ),
    Setting(
        name="keep_for",
        flags=("--keep-for",),
        read=read_seconds,
        help="keep the output of runs for this long after their end (12h, 90d); 0 for ever",
    ),
    Setting(
        name="keep_output",
        flags=("--keep-output",),
        read=read_bytes,
        help="keep so many bytes of output of each job (64K, 10M, 2G); 0 for all",
    ),
    Setting(
        name="on_stop",
        flags=("--on-stop",),
        read=read_on_stop,
        help="what a stop does to running jobs: wait for them, leave them to the next start, or cancel them",
    ),
    Setting(
        name="grace",
        flags=("--grace",),
        read=read_seconds,
        help="how long a stop waits for running jobs before it cancels them (30s, 5m, 3h)",
    ),
    Setting(
        name="allowed_hosts",
        flags=("--allow-host",),
        read=read_hosts,
        help="host names, separated by commas, by which clients may call this server",
    ),
    Setting(
        name="verbose",
        flags=("-v", "--verbose"),
        read=read_flag,
        help="print each event as it is recorded",
        switch=True,
    ),
    Setting(
        name="log_dir",
        flags=("--log-dir",),
        read=read_some_path,
        help="directory of what the processor `files` writes; `logs` in the data directory without",
    ),
    Setting(
        name="notify_url",
        flags=("--notify-url",),
        read=read_url,
        help="URL that is told of failures of jobs that name nobody",
    ),
    Setting(name="mailer_host", flags=("--mailer-host",), read=read_text, help="mail server for notices; none without"),
    Setting(name="mailer_port", flags=("--mailer-port",), read=read_port, help="its port; 465 speaks TLS at once"),
    Setting(name="mailer_username", flags=("--mailer-username",), read=read_text, help="user to log in as, if any"),
    Setting(
        name="mailer_password",
        flags=("--mailer-password",),
        read=partial(read_secret, name="mailer_password"),
        help="its password; a flag can be seen by every user of the machine, a file cannot",
    ),
    Setting(
        name="mailer_password_file",
        flags=("--mailer-password-file",),
        read=read_some_path,
        help="file that holds the password",
    ),
    Setting(
        name="mailer_from_address",
        flags=("--mailer-from-address",),
        read=read_text,
        help="who notices are from; kala_es@HOSTNAME without",
    ),
    Setting(
        name="mailer_skip_verify",
        flags=("--mailer-skip-verify",),
        read=read_flag,
        help="check no certificate, and do without TLS where there is none",
        switch=True,
    ),
)


def variable(setting: Setting) -> str:
    """The environment variable of a setting: a negative switch has its flag's name."""
    return PREFIX + key(setting).upper()


def key(setting: Setting) -> str:
    """The name of a setting in the file: its long flag, with underscores."""
    return setting.flags[-1].removeprefix("--").replace("-", "_")


def resolve(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None) -> Settings:
    """The settings from all sources. Raises SettingError."""
    written = _read_file(file) if file else {}
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        if flags.get(setting.name) is not None:
            source, value = setting.flags[-1], flags[setting.name]
            values[setting.name] = value if setting.switch else _read(setting, source, value)
        elif variable(setting) in environment:
            values[setting.name] = _read(setting, variable(setting), environment[variable(setting)])
        elif key(setting) in written:
            values[setting.name] = _read(setting, f"{key(setting)} in {file}", written[key(setting)])
    _refuse_unknown(environment)
    return Settings(**values)


def _read(setting: Setting, source: str, value: Any) -> Any:
    try:
        return setting.read(value)
    except (ValueError, TypeError) as error:
        raise SettingError(f"{source}: {value!r} is {error}") from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        written = tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingError(f"--config: {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"--config: {file} is not TOML: {error}") from None
    written = _flat(written)
    unknown = set(written) - {key(s) for s in SETTINGS}
    if unknown:
        raise SettingError(f"--config: {file}: there is no setting {sorted(unknown)[0]!r}")
    return written


def _flat(written: dict[str, Any]) -> dict[str, Any]:
    """NextKala's file has a table for mail: `fromAddress` in `[mailer]` is `mailer_from_address`."""
    table = written.get("mailer")
    if not isinstance(table, dict):
        return written
    rest = {name: value for name, value in written.items() if name != "mailer"}
    return rest | {"mailer_" + re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in table.items()}


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {variable(s) for s in SETTINGS} | {PREFIX + "CONFIG"}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            raise SettingError(f"{name}: there is no such setting")
