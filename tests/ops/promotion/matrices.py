"""Matrices that no repository has: one to read, and one whose texts come from an enemy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ops.promotion.report import (
    CellHealth,
    MatrixCell,
    MatrixEnvironment,
    MatrixRow,
    VersionMatrix,
    VersionOf,
    VersionStep,
)

AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
COMMIT, PIN, OLD = "6c343046b2a1f0a1d2c9e17cc9b4c2dd6e4a9f11", "1f" * 20, "2e" * 20
SERVER = "ghcr.io/immich-app/immich-server"


def server(version: str) -> tuple[VersionOf, ...]:
    return (VersionOf(kind="image", name=SERVER, version=version, digest=f"sha256:{'a' * 64}"),)


def ago(**span: int) -> datetime:
    return AT - timedelta(**span)


def rich() -> VersionMatrix:
    """Return a matrix with every kind of cell."""
    step = VersionStep(name=SERVER, here="v2.6.0", before="v2.7.0", jump="minor")
    talos = VersionStep(name="talos", here="1.13.0", before="1.13.2", jump="patch")
    healthy = CellHealth(health="Healthy", sync="Synced", since=ago(minutes=40))
    immich = (
        MatrixCell(
            environment="dev",
            version="v2.7.0",
            versions=server("v2.7.0"),
            follows="main",
            since=ago(hours=3),
            health=healthy,
        ),
        MatrixCell(
            environment="staging",
            version="v2.6.0",
            versions=server("v2.6.0"),
            difference="versions",
            steps=(step,),
            pin=PIN,
            since=ago(days=12),
            own_changes=True,
            health=CellHealth(health="Degraded", sync="OutOfSync"),
        ),
        MatrixCell(
            environment="production",
            version="v2.6.0",
            versions=server("v2.6.0"),
            difference="same",
            pin=PIN,
            since=ago(days=11),
            hold="v2.7 loses albums, see #12",
        ),
    )
    alerts = (
        MatrixCell(environment="dev", version="", difference=""),
        MatrixCell(environment="staging", version="0a1b2c3d", follows="main", uncommitted=True),
        MatrixCell(
            environment="production",
            version=OLD[:8],
            difference="unknown",
            pin=OLD,
            problem="the commit is not in this shallow clone; git fetch --unshallow",
        ),
    )
    loki = (
        MatrixCell(environment="dev", version="6.55.0", follows="main", since=ago(seconds=30)),
        MatrixCell(environment="staging", version="6.55.0", difference="manifests", pin=PIN, since=ago(days=2)),
        MatrixCell(environment="production", version="", difference="absent"),
    )
    whoami = (
        MatrixCell(environment="dev", version="v1.11.0", follows="main", since=ago(days=40)),
        MatrixCell(environment="staging", version="v1.11.0", difference="same", pin=PIN, since=ago(days=39)),
        MatrixCell(environment="production", version="v1.11.0", difference="same", pin=PIN, since=ago(days=38)),
    )
    return VersionMatrix(
        at=AT,
        commit=COMMIT,
        chain=("dev", "staging", "production"),
        summary="2 apps and 1 part of the infrastructure are behind (staging 3) of 4 apps",
        environments=(
            MatrixEnvironment(name="dev", stacks=("dev",), health="stack dev (rehearsal)"),
            MatrixEnvironment(
                name="staging",
                stacks=("staging",),
                health="stack staging (cluster)",
                behind=("talos", "media/immich", "monitoring/loki"),
            ),
            MatrixEnvironment(name="production", stacks=("homelab",), reason="--no-clusters reads Git alone"),
        ),
        infrastructure=(
            MatrixRow(
                name="talos",
                cells=(
                    MatrixCell(environment="dev", version="1.13.2", since=ago(days=1)),
                    MatrixCell(
                        environment="staging",
                        version="1.13.0",
                        difference="versions",
                        steps=(talos,),
                        since=ago(days=90),
                    ),
                    MatrixCell(environment="production", version="1.13.0", difference="same", since=ago(days=80)),
                ),
            ),
        ),
        applications=(
            MatrixRow(name="media/immich", cells=immich),
            MatrixRow(name="monitoring/alerts", cells=alerts),
            MatrixRow(name="monitoring/loki", cells=loki),
            MatrixRow(name="selfhosted/whoami", cells=whoami),
        ),
        notes=("health in production is unknown: --no-clusters reads Git alone",),
    )


def hostile(text: str) -> VersionMatrix:
    """Return a matrix in which every text that a checkout or a cluster can choose is the same one."""
    step = VersionStep(name=text, here=text, before=text, jump="other")
    cells = tuple(
        MatrixCell(
            environment=environment,
            version=text,
            versions=(VersionOf(kind="image", name=text, version=text, digest=text),),
            difference="versions",
            steps=(step,),
            follows=text,
            hold=text,
            problem=text,
            health=CellHealth(health=text, sync=text),
        )
        for environment in ("dev", "staging")
    )
    return VersionMatrix(
        at=AT,
        commit=COMMIT,
        chain=("dev", "staging"),
        summary=text,
        environments=tuple(MatrixEnvironment(name=one, stacks=(text,), health=text) for one in ("dev", "staging")),
        applications=(MatrixRow(name=text, cells=cells),),
        notes=(text,),
    )
