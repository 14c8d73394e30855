"""The base of every settings section: camelCase keys as Pulumi writes them, unknown keys refused, values frozen.

`config.model`, `config.secret_stores` and `config.category` build their sections on it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Section(BaseModel):
    """One section of a stack file or of a category file."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)
