"""The parts of a checkout that apps are rendered from: which file belongs to which, and which ones an app has.

    shared part: apps/<category>/<app>/base, the files in apps/<category>/_*, apps/_shared
    own part:    apps/<category>/<app>/<environment>, apps/_settings/<environment> without the values of other apps

`components.handover.application_sets.generate_paths` lists the same paths for Argo CD.
"""

from __future__ import annotations

from typing import TypeAlias

from components.handover.application_sets import SHARED
from config.tree import APPS, BASE, SETTINGS, App

InputPart: TypeAlias = "tuple[str, ...]"
VALUES = "values"
ABOVE = f"{APPS}/"


def part_of(path: str) -> InputPart:
    """Return the part that a file belongs to; nothing for a file that no app is rendered from."""
    match path.split("/"):
        case [_, str(first), *_] if first == SHARED:
            return (SHARED,)
        case [_, str(first), environment, str(values), category, file] if (first, values) == (SETTINGS, VALUES):
            return SETTINGS, environment, f"{category}/{file.removesuffix('.yaml')}"
        case [_, str(first), environment, _, *_] if first == SETTINGS:
            return SETTINGS, environment
        case [_, category, hidden, _] if hidden.startswith("_"):
            return (category,)
        case [_, category, app, folder, _, *_] if not app.startswith("_"):
            return category, app, folder
    return ()


def shared_parts(app: App) -> tuple[InputPart, ...]:
    """Return the parts that all environments of an app share."""
    return (SHARED,), (app.category,), (app.category, app.name, BASE)


def own_parts(app: App) -> tuple[InputPart, ...]:
    """Return the parts of one environment."""
    environment = app.environment
    return (SETTINGS, environment), (SETTINGS, environment, app.label), (app.category, app.name, environment)
