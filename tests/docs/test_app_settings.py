"""The page about the apps tree lists each setting that apps can use, with its key in the ConfigMap.

`./homelab test --update` writes the table; `config.app_settings` has the list.
"""

from __future__ import annotations

import os
import re

from config.app_settings import KEYS, key_of, values_of
from config.load import read_stack, stack_files
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "apps.md"
HEAD = "| setting | key in the ConfigMap |\n| --- | --- |\n"


def rows() -> str:
    """Return the settings that apps can use, then the values that follow from settings."""
    stacks = (read_stack(file).require() for file in stack_files(ROOT).values())
    derived = sorted({name for stack in stacks for name in values_of(stack)} - set(KEYS))
    named = {**{name: f"`{name}`" for name in KEYS}, **{name: f"derived, in charts `{{{name}}}`" for name in derived}}
    return "".join(f"| {shown} | `{key_of(name)}` |\n" for name, shown in named.items())


def test_the_page_lists_every_setting_that_apps_can_use() -> None:
    table = HEAD + rows()
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("HOMELAB_UPDATE"):
        text = re.sub(rf"{re.escape(HEAD)}(?:\|.*\n)*", lambda _: table, text)
        PAGE.write_text(text, encoding="utf-8")
    assert text.count(HEAD) == 1
    assert table + "\n" in text, "./homelab test --update -- tests/docs/test_app_settings.py"
