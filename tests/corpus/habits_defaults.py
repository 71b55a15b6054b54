"""Mistakes that users of Hydra make in defaults lists."""

import re
from collections.abc import Iterator

from tests.corpus.sources import Change, Mistake

__all__ = ["in_defaults"]

_HIDING = (
    "colon for a space",
    "defaults misspelled",
    "entry without a dash",
    "_self_ as a key",
)
"""Kinds that make the list no YAML, so that all its choices are lost."""


def in_defaults(name: str, text: str) -> Iterator[Mistake]:
    """Yields mistakes in the defaults list of a file, several of each kind."""

    def line(kind: str, found: re.Match[str], new: str, **more: object) -> Mistake:
        group = found["group"] if "group" in found.groupdict() else "experiment"
        keys = (
            group,
            name,
            "defaults",
            "experiment",
            *(str(one) for one in more.pop("also", ())),
        )  # type: ignore[attr-defined]
        more.setdefault("hides", kind in _HIDING)
        return Mistake(
            kind, (Change(name, *found.span(), new),), keys, alone=True, **more
        )  # type: ignore[arg-type]

    for found in re.finditer(
        r"(?m)^  - override /(?P<group>\w+): (?P<choice>\w+)$", text
    ):
        group, choice = found["group"], found["choice"]
        for kind, new in (
            ("override forgotten", f"  - /{group}: {choice}"),
            ("override and slash forgotten", f"  - {group}: {choice}"),
            ("slash forgotten", f"  - override {group}: {choice}"),
            ("equals sign in a defaults list", f"  - override /{group}={choice}"),
            ("space after override forgotten", f"  - override/{group}: {choice}"),
            ("override misspelled", f"  - overide /{group}: {choice}"),
            ("override misspelled", f"  - Override /{group}: {choice}"),
            ("colon for a space", f"  - override: /{group}: {choice}"),
            ("no space after a colon, defaults", f"  - override /{group}:{choice}"),
            ("choice with .yaml", f"  - override /{group}: {choice}.yaml"),
            ("choice with its folder", f"  - override /{group}: {group}/{choice}"),
            ("choice in capitals", f"  - override /{group}: {choice.upper()}"),
            ("group in capitals", f"  - override /{group.upper()}: {choice}"),
            ("plural of a group", f"  - override /{group}s: {choice}"),
            ("choice as a list", f"  - override /{group}: [{choice}]"),
            ("choice as a mapping", f"  - override /{group}: {{name: {choice}}}"),
            ("entry without a dash", f"    override /{group}: {choice}"),
            ("group with a dot", f"  - override /.{group}: {choice}"),
            ("package where none belongs", f"  - override /{group}@{group}s: {choice}"),
            ("folder of configs in the group", f"  - override /conf/{group}: {choice}"),
        ):
            yield line(kind, found, new, certain=False)
        yield line(
            "group of another template",
            found,
            f"  - override /trainer: {choice}",
            also=("trainer", "override /trainer"),
            fix=False,
            hides=True,
        )
    for found in re.finditer(r"(?m)^  - /experiment/(?P<choice>\w+)$", text):
        choice = found["choice"]
        for kind, new in (
            ("parent as a relative path", f"  - experiment/{choice}"),
            ("parent as a choice", f"  - /experiment: {choice}"),
            ("parent as an override", f"  - override /experiment: {choice}"),
            ("parent with .yaml", f"  - /experiment/{choice}.yaml"),
            ("parent by its name at the root", f"  - /{choice}"),
            ("parent in another folder", f"  - /experiments/{choice}"),
            ("parent misspelled", f"  - /experiment/{choice[:-1]}"),
            ("parent in a Windows path", f"  - \\experiment\\{choice}"),
        ):
            yield line(kind, found, new, certain=False)
        yield line(
            "file that extends itself",
            found,
            "  - /experiment/trial",
            fix=False,
            hides=True,
        )
    for found in re.finditer(r"(?m)^  - _self_$", text):
        for kind, new in (
            ("_self_ misspelled", "  - self"),
            ("_self_ misspelled", "  - __self__"),
            ("_self_ misspelled", "  - _self"),
            ("_self_ with a colon", "  - _self_:"),
            ("_self_ twice", "  - _self_\n  - _self_"),
            ("_self_ as a key", "  _self_"),
        ):
            yield line(kind, found, new, certain=False, also=(new.strip(" -:"),))
    for found in re.finditer(r"(?m)^defaults:$", text):
        for word in ("default:", "Defaults:", "default_list:", "defaults"):
            yield line(
                "defaults misspelled",
                found,
                word,
                also=(word.strip(":"),),
                certain=False,
            )
