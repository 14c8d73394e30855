"""An object as YAML text.

An object comes in, text goes out: the same for the same object, without aliases, and with long texts as blocks.
`ops.render` writes files with it.
"""

from __future__ import annotations

from typing import Any

import yaml

from manifests.objects import Object

try:
    from yaml import CSafeDumper as BaseDumper
except ImportError:  # a PyYAML without libyaml: slower, the same text
    from yaml import SafeDumper as BaseDumper  # type: ignore[assignment]


class BlockDumper(BaseDumper):
    """PyYAML's dumper with texts of several lines as blocks, and without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value in full."""
        return True


def _block(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


BlockDumper.add_representer(str, _block)


def as_yaml(item: Object, width: int = 110) -> str:
    """Return an object as YAML, the same for the same object; `width` limits the lines of long values."""
    options: dict[str, Any] = {"sort_keys": True, "width": width, "allow_unicode": True, "default_flow_style": False}
    text: str = yaml.dump(item, Dumper=BlockDumper, **options)
    return text
