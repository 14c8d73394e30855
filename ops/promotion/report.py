"""The matrix of `./homelab versions` as data: every format is made from it, and its JSON schema is documented.

`ops.promotion.matrix` fills it. Every text in it may come from a stranger: a format escapes it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from manifests.comparison.references import Jump

Difference = Literal["", "same", "versions", "manifests", "absent", "unknown"]
DIFFERS: tuple[Difference, ...] = ("versions", "manifests")


class MatrixPart(BaseModel):
    """The base of every part: camelCase keys, frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class VersionOf(MatrixPart):
    """A version that the files of an app pin."""

    kind: Literal["chart", "base", "image", "part"] = Field(description="the kind of what has the version")
    name: str = Field(description="the chart, the address of the base, the image, or the part of the infrastructure")
    version: str = Field(description="the version, tag or reference")
    digest: str = Field(default="", description="the digest or the commit behind it, where the file has one")


class VersionStep(MatrixPart):
    """A version that the environment before has, and this one has not."""

    name: str = Field(description="the name of what has the version")
    here: str = Field(description="the version in this environment")
    before: str = Field(description="the version in the environment before it in the chain")
    jump: Jump = Field(
        description="the size of the step that a promotion would make; `downgrade` where this one is ahead"
    )


class CellHealth(MatrixPart):
    """The state of an app as the Argo CD of its stack reports it."""

    health: str = Field(description="its health, as Argo CD calls it")
    sync: str = Field(description="its sync status, as Argo CD calls it")
    since: datetime | None = Field(
        default=None, description="since when this revision has been Healthy there; null while it is not"
    )


class MatrixCell(MatrixPart):
    """One app, or one part of the infrastructure, in one environment."""

    environment: str = Field(description="the environment")
    version: str = Field(description="the version in one text; empty where the environment does not have it")
    versions: tuple[VersionOf, ...] = Field(default=(), description="all versions in its files")
    difference: Difference = Field(
        default="",
        description="the difference to the environment before it in the chain: `manifests` where all versions are the "
        "same and other files of the shared part differ; empty for the first and without a chain",
    )
    steps: tuple[VersionStep, ...] = Field(
        default=(), description="the versions that differ from the environment before"
    )
    pin: str = Field(default="", description="the commit that it is pinned to; empty where it follows a branch")
    follows: str = Field(default="", description="the branch that it follows; empty where it is pinned")
    since: datetime | None = Field(
        default=None, description="when that was committed there: the pin, or without one the last change of its inputs"
    )
    uncommitted: bool = Field(default=False, description="whether that is in the working tree alone")
    own_changes: bool = Field(
        default=False, description="whether the environment's own files or settings changed after the pin, and wait"
    )
    hold: str = Field(default="", description="the reason why promotions leave it as it is")
    problem: str = Field(default="", description="the reason why the version is unknown, and how to mend it")
    health: CellHealth | None = Field(default=None, description="its state in the cluster; null where it is unknown")

    @property
    def is_behind(self) -> bool:
        """Return whether a promotion would bring something: an app that follows its branch can be ahead as well."""
        if {"patch", "minor", "major"} & {one.jump for one in self.steps}:
            return True
        is_ahead = bool(self.steps) and {one.jump for one in self.steps} == {"downgrade"}
        return self.difference in DIFFERS and not self.follows and not is_ahead


class MatrixRow(MatrixPart):
    """One app, or one part of the infrastructure, in every environment."""

    name: str = Field(description="category/app, or the part of the infrastructure")
    app: str = Field(default="", description="the app that a part of the infrastructure is; empty for others")
    cells: tuple[MatrixCell, ...] = Field(description="one for each environment, in their order")


class MatrixEnvironment(MatrixPart):
    """One column."""

    name: str = Field(description="the environment")
    stacks: tuple[str, ...] = Field(description="the stacks that run it")
    health: str = Field(default="", description="the cluster that reported health; empty where none did")
    reason: str = Field(default="", description="the reason why no cluster reported health")
    behind: tuple[str, ...] = Field(default=(), description="the apps that differ from the environment before")


class VersionMatrix(MatrixPart):
    """Every app and every part of the infrastructure by environment."""

    at: datetime = Field(description="the time of the report")
    commit: str = Field(default="", description="the commit of HEAD; empty without one")
    chain: tuple[str, ...] = Field(default=(), description="the chain of environments; empty where none is declared")
    summary: str = Field(description="how many apps are behind, and where")
    environments: tuple[MatrixEnvironment, ...] = Field(description="the columns")
    infrastructure: tuple[MatrixRow, ...] = Field(default=(), description="the rows of the infrastructure")
    applications: tuple[MatrixRow, ...] = Field(default=(), description="the rows of apps")
    notes: tuple[str, ...] = Field(default=(), description="what the matrix does not show, and why")
