"""Suggestions for values that are wrong by a slip: quotes, a comma, a Python habit."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from specflow.compose.read.documents import read
from specflow.config.key_path import ROOTS
from specflow.diagnostics.errors import ConfigError, nearest
from specflow.runtime.plain_tree import ABSENT

__all__ = ["declared_tensors", "meant_value", "nearest_name"]

_LONGEST = 200
"""Length of texts that are looked at, in characters."""
_TAILS = (
    r"\s*[,;]+$",
    r"\s*(?://|#|--).*$",
    r"(?<=[\d.])[fFdDlLuUxX]$",
)
"""What follows a value in other languages."""
_MULTIPLES = {"k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_DTYPES = {
    "float32": ("fp32", "f32", "float", "single", "32", "full"),
    "bfloat16": ("bf16", "brain"),
    "float16": ("fp16", "f16", "half", "16"),
}
_SYNONYMS = {
    "mean_squared_error": ("mse", "squared_error"),
    "mse": ("squared_error",),
    "mean_absolute_error": ("mae", "absolute_error"),
    "mae": ("absolute_error",),
    "root_mean_squared_error": ("rmse",),
    "balanced_accuracy": ("per_class_accuracy",),
    "topk": ("top_k",),
    "crossentropy": ("softmax_cross_entropy",),
    "categorical_crossentropy": ("softmax_cross_entropy",),
    "sparse_categorical_crossentropy": ("softmax_cross_entropy",),
    "binary_crossentropy": ("sigmoid_cross_entropy",),
    "bce": ("sigmoid_cross_entropy",),
    "bce_with_logits_loss": ("sigmoid_cross_entropy",),
    "momentum": ("sgd",),
    "adam_w": ("adamw",),
}
"""Name of a metric, loss or optimizer in other frameworks -> its names here."""
_ENDS = ("_score", "_loss", "_metric", "_optimizer")
"""Words that other frameworks add to a name."""
_NUMBER = re.compile(r"-[\d._]+(e[-+]?\d+)?")
_MOST_DIGITS = 12
_QUOTES = "'\"`\u2018\u2019\u201c\u201d"


def meant_value(
    value: Any, is_valid: Callable[[Any], bool], tensors: Collection[str] = ()
) -> Any:
    """Returns the value that was meant by one that is not valid; ABSENT if unknown.

    Args:
        value: as it was read.
        is_valid: returns whether another value is valid in its place.
        tensors: key paths of the tensors that are declared.

    >>> meant_value("'64'", lambda value: isinstance(value, int))
    64
    >>> meant_value("(32, 16)", lambda value: isinstance(value, list))
    [32, 16]
    >>> meant_value("1 000", lambda value: isinstance(value, int))
    1000
    >>> meant_value("0.95%", lambda value: isinstance(value, float))
    0.95
    >>> meant_value("None", lambda value: value is None) is None
    True
    >>> meant_value("class", lambda value: "." in value, ["predictions.class"])
    'predictions.class'
    """
    seen: list[Any] = [value]
    for candidate in (*_tensors(value, tensors), *_candidates(value)):
        if any(type(one) is type(candidate) and one == candidate for one in seen):
            continue
        seen.append(candidate)
        if is_valid(candidate):
            return candidate
    return ABSENT


def declared_tensors(tree: Any) -> list[str]:
    """Returns the key paths of the predictions, losses and inputs of an experiment.

    >>> declared_tensors({"spec": {"predictions": {"class": {}}, "loss": None}})
    ['predictions.class']
    """
    spec = tree.get("spec")
    names = spec if isinstance(spec, Mapping) else {}
    paths = [
        f"{root}.{name}"
        for root, key in (("predictions", "predictions"), ("losses", "loss"))
        for name in (names[key] if isinstance(names.get(key), Mapping) else ())
    ]
    inputs = names.get("inputs")
    values = inputs.values() if isinstance(inputs, Mapping) else ()
    return [*paths, *dict.fromkeys(it for it in values if isinstance(it, str))]


def nearest_name(value: str, names: Iterable[str]) -> str | None:
    """Returns the name that is meant by one near it, by a class path or by a file.

    >>> nearest_name("torch.optim.AdamW", ["adam", "adamw"])
    'adamw'
    >>> nearest_name("adam // as before", ["adam", "adamw"])
    'adam'
    >>> nearest_name("f1_score", ["auc", "f1"]), nearest_name("roc_auc", ["auc", "f1"])
    ('f1', 'auc')
    """
    known = [*names]
    word, *_ = value.split() or [""]  # A comment of another language may follow.
    last = re.split(r"[./:]", re.sub(r"\.ya?ml$", "", word))[-1]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).lower()
    for word in (last, last.lower(), snake):
        if word in known:
            return word
    for other in (*_SYNONYMS.get(snake, ()), *_without_ends(snake)):
        if other in known:
            return other
    return (
        nearest(value, known)
        or nearest(snake, known)
        or next((one for one in known if snake.endswith(f"_{one}")), None)
    )


def _without_ends(name: str) -> Iterator[str]:
    yield from (name.removesuffix(end) for end in _ENDS if name.endswith(end))


def _tensors(value: Any, paths: Collection[str]) -> Iterator[str]:
    """Yields the key paths that a part of one, or a misspelled one, means."""
    if not isinstance(value, str):
        return
    ends = [path for path in paths if path.endswith(f".{value}")]
    yield from ends if len(ends) == 1 else ()
    root, dot, name = value.partition(".")
    if dot and (near := nearest(root, ROOTS)):
        yield f"{near}.{name}"


def _candidates(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        if len(value) <= _LONGEST:
            yield from _of_text(value.strip())
    elif isinstance(value, bool):
        return
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif isinstance(value, int) and value in (0, 1):
        yield bool(value)
    if isinstance(value, list) and len(value) == 1:
        yield value[0]
    elif not isinstance(value, list | dict) and value is not None:
        yield [value]


def _of_text(text: str) -> Iterator[Any]:
    bare = text.strip(_QUOTES)
    yield from _read(bare)
    if bare in ("None", "none", "nil", "NULL", "nan", "NaN"):
        yield None
    for tail in _TAILS:
        if (short := re.sub(tail, "", bare)) != bare:
            yield from _read(short)
    if re.fullmatch(r"[-+]?(0,\d+|\d+,\d\d?)", bare):  # 1,000 may be a thousand.
        yield from _read(bare.replace(",", "."))
    if found := re.fullmatch(r"([-+]?\d[\d_]*(?:\.\d*)?)\s*%", bare):
        share, percents = [*_read(found[1])], [float(found[1]) / 100]
        # A fraction that has a percent sign is more often one than a tiny percentage.
        yield from share + percents if float(found[1]) <= 1 else percents + share
    if re.fullmatch(r"[1-9]\d{0,2}(?:[\s'\u202f]\d{3})+", bare):
        yield int(re.sub(r"\D", "", bare))
    if found := re.fullmatch(r"([-+]?\d+(?:\.\d+)?)\s*([kKmMgGbB])", bare):
        number = Decimal(found[1]) * _MULTIPLES[found[2].lower()]
        yield from _read(f"{number.normalize():f}")
    if found := re.fullmatch(r"(\d+)\s*(s|m|h)[a-z]*\.?", bare):
        yield "".join(found.groups())
    if found := re.fullmatch(r"\((.*?),?\)", bare):
        yield from _read(f"[{found[1]}]")
    if "," in bare and bare[:1] not in "[{(":
        yield from _read(f"[{bare}]")
    if found := re.fullmatch(r"\[?\s*([-+\d.e]+(?:\s+[-+\d.e]+)+)\s*\]?", bare):
        yield from _read(f"[{', '.join(found[1].split())}]")
    if re.fullmatch(r"(-[^\s-]\S*\s*)+", bare) and not _NUMBER.fullmatch(bare):
        yield [word.removeprefix("-") for word in bare.split()]
    if (number := _calculated(bare)) is not None:
        yield number
    word = re.sub(r"[-_]?(mixed|true)[-_]?", "", bare.lower())
    yield from (one for one, words in _DTYPES.items() if word in (one, *words))
    if bare.lower() in ("yes", "on", "no", "off"):
        yield bare.lower() in ("yes", "on")
    if re.fullmatch(r"[\w ]+(?:/[\w ]+)+", bare):
        yield bare.replace("/", ".")
    if bare != bare.lower():
        yield bare.lower()


def _calculated(text: str) -> int | float | None:
    """Returns what two numbers with `*` or `/` between them are, or None."""
    number = rf"(\d{{1,{_MOST_DIGITS}}}(?:\.\d{{1,{_MOST_DIGITS}}})?)"
    found = re.fullmatch(rf"{number}\s*([*/])\s*{number}", text)
    if found is None:
        return None
    first, second = Decimal(found[1]), Decimal(found[3])
    if found[2] == "/" and not second:
        return None
    result = first * second if found[2] == "*" else first / second
    return int(result) if result == int(result) else float(result)


def _read(text: str) -> Iterator[Any]:
    """Yields a text as YAML reads it, where it is a plain value or a list of these."""
    if not text or "${" in text or "\n" in text:
        return
    try:
        yield read(f"value: {text}").content["value"]
    except ConfigError:
        return
