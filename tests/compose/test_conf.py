"""Every file under conf/ composes and validates, and has a head."""

import pytest

from specflow.compose import compose
from specflow.compose.read.config_folders import about_file, folders, shipped
from specflow.compose.read.documents import load

FOLDERS = folders()
CHOICES = [
    (group, choice)
    for group in FOLDERS.groups()
    if group != "experiment"
    for choice in FOLDERS.choices(group)
]
EXPERIMENTS = FOLDERS.choices("experiment")
NO_DEFAULT = {
    ("data", "array_record"): ["data.files=a.array_record"],
    ("data", "huggingface"): ["data.dataset=plums"],
    ("data", "mixture"): ["data.parts={a: {name: digits}}"],
    ("data", "npz"): ["data.train=a.npz", "data.eval=b.npz"],
    ("data", "npy"): ["data.files=arrays"],
    ("data", "images"): ["data.root=a"],
    ("data", "table"): ["data.files=a.csv"],
    ("data", "tfds"): ["data.dataset=plums"],
    ("data", "tfrecord"): ["data.files=a.tfrecord"],
}
"""Values that a choice leaves to whoever chooses it."""


def test_the_bare_config_composes():
    assert compose().config.name == "experiment"


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes(group, choice):
    more = NO_DEFAULT.get((group, choice), [])
    composed = compose([f"{group}={choice}", *more])
    assert composed.choices[group] == choice
    assert composed.choice_origins[group] == f"override {group}={choice}"


REPORTERS = {
    "mlflow": ["tensorboard", "plots", "mlflow"],
    "trackio": ["tensorboard", "plots", "trackio"],
    "wandb": ["tensorboard", "plots", "wandb"],
    "wandb_offline": ["tensorboard", "plots", "wandb"],
    "none": [],
}


@pytest.mark.parametrize("name", REPORTERS)
def test_choices_of_reporters_replace_the_list(name):
    composed = compose(["experiment=digits", f"+output/reporters={name}"])
    reporters = composed.config.output.reporters
    names = [getattr(each, "name", each) for each in reporters]
    assert names == REPORTERS[name]
    if name == "wandb_offline":
        assert reporters[-1].mode == "offline"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_under_its_own_name(name):
    assert compose([f"experiment={name}"]).config.name == name


def test_the_shipped_experiments_are_the_listed_ones():
    promised = {"digits", "digits_mlp", "diabetes", "breast_cancer", "stdlib_lm"}
    promised |= {"wine", "diabetes_counts", "breast_cancer_wide_and_deep"}
    assert promised <= set(EXPERIMENTS)


def test_every_file_is_a_choice_or_a_part_of_one():
    """A file that nothing can choose would be in nobody's test."""
    chosen = {f"{group}/{choice}.yaml" for group, choice in CHOICES}
    chosen |= {f"experiment/{name}.yaml" for name in EXPERIMENTS} | {"config.yaml"}
    chosen |= {f"output/reporters/{name}.yaml" for name in REPORTERS}
    files = {str(file.relative_to(shipped())) for file in shipped().rglob("*.yaml")}
    text = "".join(file.read_text() for file in shipped().rglob("*.yaml"))
    parts = {file for file in files - chosen if file.split("/")[-1][:-5] + "@" in text}
    assert files == chosen | parts


def test_every_experiment_is_documented():
    for name in EXPERIMENTS:
        file = shipped() / "experiment" / f"{name}.yaml"
        header, schema, first, *_ = file.read_text().splitlines()
        assert header == "# @package _global_"
        assert schema.startswith("# yaml-language-server:")
        assert first.startswith("# ")
        assert load(file, name).content["name"] == name


@pytest.mark.parametrize("file", sorted(shipped().rglob("*.yaml")), ids=str)
def test_every_file_has_a_head_of_complete_sentences(file):
    """`explain` and completion show the first."""
    sentence = about_file(file)
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence[0].isdigit() or sentence.startswith("tf.")
