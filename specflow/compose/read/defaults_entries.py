"""Form of defaults lists: entries that Hydra cannot read, and their repair."""

import dataclasses
import re
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.documents import Document
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import Diagnostic, did_you_mean, is_slip, nearest

__all__ = ["Entries", "checked_entries", "defaults_key"]

_CHOICE = "the name of a choice"
_KEYWORDS = ("override", "optional")
_FORMS = "an entry such as /experiment/digits, override /model: mlp or _self_"
_TYPED = re.compile(r"(?P<before>(?:\w+\s+)*)(?P<group>[^\s=:]+)\s*=\s*(?P<choice>\S+)")
_GLUED = re.compile(r"(?P<before>(?:\w+\s+)?)(?P<group>/?\w+):(?P<choice>\w+)")
"""An entry whose colon no space follows, which is a text to YAML."""
_DROPPED = object()


@dataclasses.dataclass(frozen=True)
class Entries:
    """Entries of a defaults list that Hydra can read, and the problems of the others.

    An entry whose meaning is plain is replaced by what was meant, so that the rest of
    the experiment is checked as intended.
    """

    entries: Any
    """As Hydra takes them: texts and mappings of one key."""
    diagnostics: tuple[Diagnostic, ...] = ()


def defaults_key(content: dict[Any, Any], *, at_root: bool = True) -> str | None:
    """Returns the key of a file's defaults list, also a misspelled one; None if none.

    Args:
        content: of the file.
        at_root: whether the file is merged at the root, where no field resembles it.

    >>> defaults_key({"seed": 1, "Defaults": ["_self_"]})
    'Defaults'
    """
    if "defaults" in content or not at_root:
        return "defaults" if "defaults" in content else None
    lists = (key for key, value in content.items() if isinstance(value, list))
    slips = (key for key in lists if isinstance(key, str) and is_slip(key, "defaults"))
    return next(slips, None)


def checked_entries(
    document: Document,
    config: str,
    shown: str,
    folders: Folders,
    overriding: Collection[str] = (),
) -> Entries:
    """Returns the entries of a file's defaults list, and their problems with places.

    Args:
        document: the file.
        config: its name, such as `experiment/mine`.
        shown: its name in messages.
        folders: config folders.
        overriding: groups in which another list has chosen: `override` is added.
    """
    at_root = config.split("/")[0] not in ExperimentConfig.model_fields
    name = defaults_key(document.content, at_root=at_root)
    if name is None:
        return Entries([])
    pairs = document.node.value
    key, node = next(pair for pair in pairs if pair[0].value == name)
    diagnostics: list[Diagnostic] = []
    if name != "defaults":
        near = did_you_mean("defaults")
        diagnostics.append(_problem(key, shown, name, "no such field", "", near))
    listed = document.content[name]
    if not isinstance(listed, list) or len(listed) != len(node.value):
        problem = f"got {_brief(listed)}"
        expected = f"a list, each item {_FORMS}"
        return Entries([], (_problem(key, shown, name, problem, expected),))
    check = _Check(config.rpartition("/")[0], shown, folders, overriding)
    entries = [
        entry
        for item, place in zip(listed, node.value, strict=True)
        if (entry := check.repaired(item, place)) is not _DROPPED
    ]
    return Entries(check.ordered(entries), (*diagnostics, *check.diagnostics))


@dataclasses.dataclass
class _Check:
    """Check of the entries of one defaults list, in order."""

    group: str
    shown: str
    folders: Folders
    overriding: Collection[str] = ()
    diagnostics: list[Diagnostic] = dataclasses.field(default_factory=list)
    _seen_self: bool = False
    _late: yaml.Node | None = None
    """First entry after an override that is none itself."""
    _override: str = ""
    """First override."""

    def repaired(self, item: Any, node: yaml.Node) -> Any:
        """Returns an entry, or what it means, or `_DROPPED`."""
        if isinstance(item, str):
            entry = self._of_text(item, node)
        elif isinstance(item, dict) and len(item) == 1:
            entry = self._of_mapping(*next(iter(item.items())), node)
        elif isinstance(item, dict) and item:
            entry = self._of_several(item, node)
        else:
            entry = self._report(node, f"got {_brief(item)}", _FORMS)
        self._note_order(entry, node)
        return entry

    def _of_several(self, item: dict[Any, Any], node: yaml.Node) -> Any:
        """Reports keys after the first, which lack their dash."""
        first, *rest = item.items()
        problem = f"got {_brief(item)}"
        for place, (key, value) in enumerate(rest, 1):
            hint = f"Write - {key}: {_brief(value)}."
            self._report(node.value[place][0], problem, "one key an item", hint)
        return self._of_mapping(*first, node)

    def ordered(self, entries: list[Any]) -> list[Any]:
        """Returns the entries with overrides last; reports one that comes too early."""
        if self._late is None:
            return entries
        self._report(
            self._late,
            f"comes after {self._override}",
            "overrides to come last",
            "Move this entry up.",
        )
        return sorted(entries, key=_is_override)

    def _note_order(self, entry: Any, node: yaml.Node) -> None:
        if entry is _DROPPED or entry == "_self_":
            return
        if _is_override(entry):
            self._override = self._override or _brief(entry).strip("{}")
        elif self._override and self._late is None:
            self._late = node

    def _of_text(self, text: str, node: yaml.Node) -> Any:
        if text == "_self_":
            if self._seen_self:
                hint = "Remove this entry."
                return self._report(node, "names _self_ again", "it once", hint)
            self._seen_self = True
            return text
        if text.strip("_").lower() == "self" and not self._exists(text):
            again, self._seen_self = self._seen_self, True
            self._report(node, f"got {text}", "", did_you_mean("_self_"))
            return _DROPPED if again else "_self_"
        if (glued := _GLUED.fullmatch(text)) and "${" not in text:
            key = f"{glued['before']}{glued['group']}"
            meant = f"{key}: {glued['choice']}"
            self._report(node, f"got {text}", "", did_you_mean(meant))
            return self._of_mapping(key, glued["choice"], node)
        if (typed := _TYPED.fullmatch(text)) and "${" not in text:
            before, group, choice = typed.group("before", "group", "choice")
            meant = f"{before}{group}: {choice}"
            if not before and group.lstrip("/") in ExperimentConfig.model_fields:
                meant = f"override /{group.lstrip('/')}: {choice}"
            key, _, choice = meant.partition(": ")
            self._report(node, f"got {text}", "", did_you_mean(meant))
            return self._of_mapping(key, choice, node)
        if not text.strip(" /"):
            return self._report(node, f"got {_brief(text)}", _FORMS)
        keyword, *rest = text.split()
        if rest and nearest(keyword, _KEYWORDS):
            hint = f"Write {text}: and the name of the choice."
            return self._report(node, f"{text} names no choice", "", hint)
        stem = re.sub(r"\.ya?ml$", "", text)
        if "${" in text or "@" in text or self._exists(text):
            return text
        rooted = f"/{stem.lstrip('/')}"
        last = re.split(r"[/\\]", stem)[-1]
        candidates = (stem, rooted, f"/{self.group}/{last}")
        found = [name for name in candidates if name != text and self._exists(name)]
        if not found:
            return text  # Hydra does not find it either, and the nearest is suggested.
        self._report(node, f"no config named {text}", "", did_you_mean(found[0]))
        return found[0]

    def _of_mapping(self, key: Any, value: Any, node: yaml.Node) -> Any:
        if key == "_self_":
            hint, again = did_you_mean("_self_"), self._seen_self
            self._report(node, f"got {_brief({key: value})}", "", hint)
            self._seen_self = True
            return _DROPPED if again else "_self_"
        if not isinstance(key, str) or not key.strip(" /"):
            return self._report(node, f"got {_brief({key: value})}", _FORMS)
        choices = value if isinstance(value, list) else [value]
        if not all(one is None or isinstance(one, str) for one in choices):
            section = key.split()[-1].split("@")[0].strip("/")
            named = isinstance(value, dict) and [*value] == ["name"] and value["name"]
            if named and self._is_choice(section, named):
                hint = did_you_mean(f"{key}: {named}")
                self._report(node, f"{key} got {_brief(value)}", _CHOICE, hint)
                return {key: named}
            hint = (
                f"Values are set outside the list: {section}: {_brief(value)}."
                if isinstance(value, dict)
                else ""
            )
            problem = f"{key} got {_brief(value)}"
            return self._report(node, problem, _CHOICE, hint)
        joined = re.sub(r"^(override|optional)/", r"\1 /", key)
        *keywords, name = joined.split()
        group = name.split("@")[0].strip("/")
        chooses_itself = group == self.group and keywords in ([], ["override"])
        if isinstance(value, str) and chooses_itself:
            meant = f"/{group}/{value}"
            if self._exists(meant):
                problem = f"chooses in {group}, which chose this file"
                self._report(node, problem, "", did_you_mean(meant))
                return meant
        choice = str(value).rpartition("/")[2]
        if "/" in str(value) and not self._is_choice(group, value):
            if self._is_choice(group, choice):
                problem = f"no choice named {value!r}"
                self._report(node, problem, "", did_you_mean(f"{key}: {choice}"))
                value = choice
        meant = [nearest(word, _KEYWORDS) for word in keywords]
        if None in meant:
            expected = f"no keyword or one of {', '.join(_KEYWORDS)}"
            return self._report(node, f"got {key}", expected)
        known = self._known_group(name)
        chosen = known and known.strip("/") in ExperimentConfig.model_fields
        if known != name and chosen and self.group and "override" not in meant:
            meant.insert(0, "override")  # The root config has chosen in it.
        corrected = " ".join([*map(str, meant), known or name])
        if corrected != key:
            where = name.split("@")[0].lstrip("/")
            problem = "no such group"
            if known in (None, name):
                where, problem = "defaults", f"got {key}"
            elif known == f"/{where}":
                problem = f"no such group in {self.group}, where the name is relative"
            self.diagnostics.append(
                _problem(node, self.shown, where, problem, "", did_you_mean(corrected))
            )
        if group in self.overriding and "override" not in meant:
            corrected = f"override {corrected}"
        return {corrected: value}

    def _known_group(self, name: str) -> str | None:
        """Returns the group that a name means, as to be written; None if unknown."""
        group, at, package = name.partition("@")
        plain = group.strip("/")
        if plain.startswith("hydra/") or "${" in name or self._is_group(group):
            return name
        near = plain if self.folders.is_group(plain) else None
        near = near or nearest(plain, self.folders.groups())
        return f"/{near}{at}{package}" if near else None

    def _is_choice(self, group: str, choice: object) -> bool:
        return self.folders.file(f"{group}/{choice}") is not None

    def _is_group(self, name: str) -> bool:
        return self.folders.is_group(self._absolute(name))

    def _exists(self, name: str) -> bool:
        return self.folders.file(self._absolute(name)) is not None

    def _absolute(self, name: str) -> str:
        if name.startswith("/") or not self.group:
            return name.lstrip("/")
        return f"{self.group}/{name}"

    def _report(
        self, node: yaml.Node, problem: str, expected: str = "", hint: str = ""
    ) -> Any:
        """Reports an entry, which is dropped."""
        diagnostic = _problem(node, self.shown, "defaults", problem, expected, hint)
        self.diagnostics.append(diagnostic)
        return _DROPPED


def _problem(
    node: yaml.Node, shown: str, where: str, problem: str, expected: str, hint: str = ""
) -> Diagnostic:
    mark = node.start_mark
    origin = Origin(shown, mark.line + 1, mark.column + 1).exact
    return Diagnostic(where, problem, expected, hint, origin, "defaults")


def _is_override(entry: Any) -> bool:
    keys: Iterator[Any] = iter(entry if isinstance(entry, dict) else ())
    return any("override" in str(key).split()[:-1] for key in keys)


def _brief(value: Any) -> str:
    """Returns a value as in YAML, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    text = text.removesuffix("\n...\n").strip()
    return text if len(text) <= 60 else f"{text[:57]}..."
