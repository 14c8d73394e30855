"""The gates of an environment: the conditions under which a change of Git takes effect in its cluster.

`config.model` has them as `delivery.gates`. `components.handover` makes Argo CD hold them, `config.code_owners` the
forge.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, PlainSerializer, PlainValidator

from config.category import Sync
from config.explain import nearest
from config.rules import rule
from config.schedule import Schedule, Window, is_closed, opens_at
from config.section import Section
from config.values import Duration, choice, refuse

# A user, a team or the address of a user, as GitHub accepts them in CODEOWNERS.
CODE_OWNER = re.compile(
    r"@[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}(?:/[a-z0-9](?:[\w-]*[a-z0-9])?)?|[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    re.ASCII,
)
# Argo CD compares the last 16 digits; a shorter id has collisions, and a fingerprint ends in the id.
KEY_ID = re.compile(r"(?:0x)?([0-9A-Fa-f]{24})?([0-9A-Fa-f]{16})\Z")
APPLICATION = re.compile(r"[a-z0-9*?-]{1,63}\Z")
LEAST, MOST = Duration(60), Duration(366 * 86400)
ANY_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@rule("owner-malformed", scope="file", why="GitHub ignores a line of CODEOWNERS with an owner that it does not know.")
def _code_owner(value: Any) -> str:
    if not isinstance(value, str) or not CODE_OWNER.fullmatch(value):
        fix = "write @user, @org/team or the mail address of a user, in quotes"
        refuse("owner-malformed", "is no code owner", fix)
    return value


@rule("key-id-malformed", scope="file", why="Argo CD compares 16 digits: every signature would be refused.")
def _key_id(value: Any) -> str:
    found = KEY_ID.match(value) if isinstance(value, str) else None
    if not found:
        fix = (
            'write the 16 or 40 digits that `gpg --list-keys --keyid-format long` shows, in quotes: "4AEE18F83AFDEB23"'
        )
        refuse("key-id-malformed", "is not the id of an OpenPGP key", fix)
    return found[2].upper()


@rule("time-zone-unknown", scope="file", why="Argo CD takes UTC for a time zone that it does not know.")
def _time_zone(value: Any) -> str:
    known = available_timezones()
    if not isinstance(value, str) or value not in known:
        nothing = "install the package tzdata: this machine has no time zones"
        fix = nearest(str(value), sorted(known), "write it as Europe/Berlin") if known else nothing
        refuse("time-zone-unknown", "is no time zone", fix)
    return value


@rule("duration-unfit", scope="file", why="A window shorter than a minute is never active.")
def _duration(value: Any) -> Duration:
    found = Duration.parse(value)
    if not LEAST <= found <= MOST:
        refuse("duration-unfit", "is no duration of a window", "write one between 1m and 366d")
    return found


@rule("application-malformed", scope="file", why="The window would match no Application, and hold for none.")
def _application(value: Any) -> str:
    if not isinstance(value, str) or not APPLICATION.match(value):
        fix = "write it as `status` shows it, such as media-jellyfin, or with * such as media-*"
        refuse("application-malformed", "is not the name of an Application", fix)
    return value


CodeOwner = Annotated[str, PlainValidator(_code_owner)]
KeyId = Annotated[str, PlainValidator(_key_id)]


class SyncWindow(Section):
    """A time in which Argo CD may sync, or must not."""

    kind: Annotated[Literal["allow", "deny"], choice("allow", "deny")] = Field(
        description="`allow` syncs in this window only, `deny` never in it; a deny overrides an allow"
    )
    schedule: Annotated[Schedule, PlainValidator(Schedule.parse), PlainSerializer(str)] = Field(
        description="its beginnings, as a cron schedule with five fields: `0 2 * * sat`"
    )
    duration: Annotated[Duration, PlainValidator(_duration), PlainSerializer(str)] = Field(
        description="its length: 90m, 4h"
    )
    time_zone: Annotated[str, PlainValidator(_time_zone)] = Field(
        default="UTC", description="the time zone of the schedule, such as Europe/Berlin"
    )
    applications: tuple[Annotated[str, PlainValidator(_application)], ...] = Field(
        default=(), description="the Applications that it holds for, `*` for any characters (default: all)"
    )
    manual_sync: Annotated[Literal["allowed", "refused"], choice("allowed", "refused")] = Field(
        default="allowed",
        description="while Argo CD must not sync by itself: whether `./homelab sync` and the first syncs of `up` may",
    )

    def __str__(self) -> str:
        """Return the window in words."""
        apps = f" of {', '.join(self.applications)}" if self.applications else ""
        return f"{self.kind}{apps} {self.schedule} for {self.duration} ({self.time_zone})"

    def window(self, moment: datetime) -> Window:
        """Return the window for a comparison with a moment of UTC."""
        return Window(
            allows=self.kind == "allow",
            schedule=self.schedule,
            duration=timedelta(seconds=self.duration.seconds),
            offset=offset_of(self.time_zone, moment),
            admits_manual=self.manual_sync == "allowed",
        )

    def spec(self) -> dict[str, Any]:
        """Return the window in the form of an AppProject."""
        return {
            "kind": self.kind,
            "schedule": str(self.schedule),
            "duration": str(self.duration),
            "timeZone": self.time_zone,
            "applications": list(self.applications) or ["*"],
            **({"manualSync": True} if self.manual_sync == "allowed" else {}),
        }


class Gates(Section):
    """The conditions under which a change of Git takes effect in this environment."""

    sync: Annotated[Literal["automatic", "manual"], choice("automatic", "manual")] = Field(
        default="automatic",
        description="`manual` holds changes of every app until `./homelab sync`; `up` makes the first sync of an app",
    )
    windows: tuple[SyncWindow, ...] = Field(default=(), description="the times in which Argo CD syncs (default: all)")
    approval: Annotated[Literal["none", "required"], choice("none", "required")] = Field(
        default="none",
        description="`required` writes the owners of the environment into CODEOWNERS, whose review the forge requires",
    )
    approvers: tuple[CodeOwner, ...] = Field(
        default=(), description="these owners, as `@user`, `@org/team` or mail address (default: the maintainers)"
    )
    signatures: Annotated[Literal["none", "required"], choice("none", "required")] = Field(
        default="none", description="`required` syncs only commits that are signed with one of `signingKeys`"
    )
    signing_keys: tuple[KeyId, ...] = Field(
        default=(), description="the ids of OpenPGP keys; Argo CD gets the keys from apps/system/argocd"
    )

    def over(self, sync: Sync) -> Sync:
        """Return the policy of a category under these gates: they add a decision and never remove one."""
        return sync.model_copy(update={"mode": "manual"}) if self.sync == "manual" else sync

    @property
    def holds(self) -> bool:
        """Return whether Argo CD does not sync every change at once."""
        return self.sync == "manual" or bool(self.windows)

    def as_text(self) -> str:
        """Return the gates in one line."""
        approval = f"approval by {', '.join(self.approvers) or 'the maintainers'}"
        parts = [
            f"{self.sync} sync",
            *map(str, self.windows),
            *([approval] if self.approval == "required" else []),
            *([f"signatures of {', '.join(self.signing_keys)}"] if self.signatures == "required" else []),
        ]
        return ", ".join(parts)


def offset_of(time_zone: str, moment: datetime) -> timedelta:
    """Return the offset of a time zone at a moment of UTC."""
    return moment.astimezone(ZoneInfo(time_zone)).utcoffset() or timedelta()


def never_opens(windows: tuple[SyncWindow, ...]) -> bool:
    """Return whether windows, all of which hold for an app, never let a sync through."""
    made = [one.window(ANY_MOMENT) for one in windows]
    return is_closed(made, ANY_MOMENT) and opens_at(made, ANY_MOMENT) is None
