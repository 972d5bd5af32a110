"""As whom a process runs: the system's users and groups, and whether this process may become them."""

import grp
import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kala_es.domain.errors import Invalid

if TYPE_CHECKING:  # an agent needs accounts, and none of what reads a job's terms
    from kala_es.domain.terms import AttemptTerms


class NoSuchAccount(Exception):
    """The system does not know the user or the group; the sentence names it. `key` is "user" or "group"."""

    def __init__(self, key: str, name: str) -> None:
        super().__init__(f"there is no {key} {name!r} here")
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who a process is: None for who we are. `variables` are those of its environment that say so."""

    name: str = "us"
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    def become(self) -> None:
        """Become it, for good. Raises OSError."""
        if self.gid is not None:
            os.setgroups(self.groups)
            os.setresgid(self.gid, self.gid, self.gid)
        if self.uid is not None:
            os.setresuid(self.uid, self.uid, self.uid)


OURS: Final = Account()


def account_of(user: str, group: str) -> Account:
    """The account of a user (with all its groups), a group, or both; a name or a number. Raises NoSuchAccount.

    A group that is named takes the place of the user's own. "" and "" is ours.
    """
    if not user and not group:
        return OURS
    gid = _gid(group) if group else None
    if not user:
        assert gid is not None
        return Account(name=f"the group {group!r}", gid=gid, groups=(gid,))
    entry = _user(user)
    gid = entry.pw_gid if gid is None else gid
    variables = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "SHELL": entry.pw_shell}
    return Account(
        name=f"the user {user!r}",
        uid=entry.pw_uid,
        gid=gid,
        groups=tuple(os.getgrouplist(entry.pw_name, gid)),
        variables=tuple(variables.items()),
    )


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if _is_number(name) else pwd.getpwnam(name)
    except (KeyError, OverflowError, ValueError):
        raise NoSuchAccount("user", name) from None


def _gid(name: str) -> int:
    try:
        return grp.getgrgid(int(name)).gr_gid if _is_number(name) else grp.getgrnam(name).gr_gid
    except (KeyError, OverflowError, ValueError):
        raise NoSuchAccount("group", name) from None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def check_account(terms: "AttemptTerms") -> None:
    """Raise Invalid, naming the key, when no attempt could have these terms here. It may ask a directory: not quick."""
    if os.geteuid():
        for key, value in (("user", terms.user), ("group", terms.group)):
            if value:
                raise Invalid(key, "only a server that runs as root can run jobs as somebody else")
        if terms.nice < 0:
            raise Invalid("nice", "only a server that runs as root can run jobs at a higher priority")
    try:
        account_of(terms.user, terms.group)
    except NoSuchAccount as error:
        raise Invalid(error.key, str(error)) from None
