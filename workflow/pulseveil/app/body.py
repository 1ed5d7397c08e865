"""The page of the front end below its title: choose one or two models, synthesize, look, download."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from pulseveil.app import catalogue, export, figures, synthesis
from pulseveil.app.catalogue import ModelFile, TrainedModel
from pulseveil.app.export import Export
from pulseveil.app.synthesis import Generated, Request, cell_hash
from pulseveil.core.errors import InputError
from pulseveil.core.identity import falling
from pulseveil.evaluation.protocols import ALL
from pulseveil.release.export import Form

_SECOND = "second-"
NO_MODELS = """
No trained generators below `{folder}/results`. Train some first, in the folder of PulseVeil:

```sh
.venv/bin/snakemake --cores 2
.venv/bin/snakemake --cores 2 --configfile config/private.yaml
```

The first command runs the demo, of whose models `posterior` alone is private. The second command trains
private models on the WESAD recordings. Then reload this page.
"""
OF_WINDOWS = (
    " The budget protects one window; a person has many, and a minute touches several: see the statement."
)
FORMS: Mapping[str, Form] = {"CSV": "csv", "Parquet": "parquet", "HDF5": "h5"}


@dataclass(frozen=True, eq=False)
class Choice:
    """A model that the user chose.

    `prefix`: of the keys of its widgets. `confirmed`: the user confirmed that it is not private.
    """

    prefix: str
    file: ModelFile
    trained: TrainedModel
    confirmed: bool

    @property
    def identity(self) -> tuple[Any, ...]:
        """What the windows of the model depend on, besides the request."""
        written = self.file.path.stat().st_mtime_ns
        return str(self.file.path), written, self.trained.fold, self.trained.facts.claim.headline


def show(folder: Path) -> None:
    """The page below its title, for the models below `folder`/results."""
    try:
        files = catalogue.find_models(folder)
        if files:
            _show(files)
        else:
            st.info(NO_MODELS.format(folder=folder))
    except InputError as error:
        st.error(str(error))


def _show(files: tuple[ModelFile, ...]) -> None:
    with st.sidebar:
        st.header("Trained model")
        chosen = {"": _choose(files, "")}
        if st.toggle("Compare with a second model", key="compare"):
            st.header("Second model")
            chosen[_SECOND] = _choose(files, _SECOND)
        st.caption(
            "The figures show only synthetic data and ranges from the literature. The page reads no "
            "recording. The study measured the quality and audit numbers on the cards on its own data."
        )
    choices = []
    for place, (prefix, (file, fold)) in zip(st.columns(len(chosen)), chosen.items(), strict=True):
        with place:
            trained = _open(file, fold, file.path.stat().st_mtime_ns)
            if len(chosen) > 1:
                st.subheader(_name(file, fold))
            choices.append(Choice(prefix, file, trained, _privacy(trained, f"{file.path}:{fold}", prefix)))
    if not all(choice.trained.facts.claim.is_private or choice.confirmed for choice in choices):
        st.info("The page synthesizes nothing from this model before you confirm this.")
        return
    if len({choice.trained.facts.classes for choice in choices}) > 1:
        st.error("The two models know different classes; choose a second model with the same classes.")
        return
    request = _ask(choices[0].trained)
    made = _generated(choices, request)
    if not made:
        return
    st.subheader(f"Synthetic subjects: {request.subjects}, windows: {len(made[0].synthetic)}")
    for place, choice, generated in zip(st.columns(len(made)), choices, made, strict=True):
        with place:
            _results(generated, choice)


@st.cache_resource(max_entries=20, ttl=60, show_spinner="Reading the model and checking its ledger")
def _open(file: ModelFile, fold: str, written_ns: int) -> TrainedModel:
    """The model with its claim; read again if its file has changed (`written_ns`), and after a minute."""
    # The minute is for files beside the model: a new audit can refute the claim of an unchanged file.
    return catalogue.open_model(file, fold)


@st.cache_data(max_entries=100, show_spinner=False)
def _folds(file: ModelFile, written_ns: int) -> tuple[str, ...]:
    return catalogue.fold_names(file)


def _choose(files: tuple[ModelFile, ...], prefix: str) -> tuple[ModelFile, str]:
    """The model file and fold that the user chooses; `prefix`: of the keys of the widgets."""
    study = st.selectbox("Study", _unique(file.study for file in files), key=f"{prefix}study")
    files = tuple(file for file in files if file.study == study)
    model = st.selectbox("Generator", _unique(file.model for file in files), key=f"{prefix}model")
    files = tuple(file for file in files if file.model == model)
    ordered = sorted(files, key=lambda file: (file.unit, falling(file.epsilon)))
    # The first of the catalogue, and so one with a budget if there is one.
    first = _unique(file.budget for file in ordered).index(files[0].budget)
    budget = st.selectbox(
        "Privacy budget", _unique(file.budget for file in ordered), first, key=f"{prefix}budget"
    )
    files = tuple(file for file in files if file.budget == budget)
    seed = st.selectbox("Seed of the training", _unique(file.seed for file in files), key=f"{prefix}training")
    file = next(file for file in files if file.seed == seed)
    names = _folds(file, file.path.stat().st_mtime_ns)
    fold = st.selectbox("Learned from", names, format_func=_fold_label, key=f"{prefix}fold")
    return file, str(fold)


def _privacy(trained: TrainedModel, identity: str, prefix: str) -> bool:
    """Show the claim of the model; returns whether the user confirmed that the model is not private."""
    claim = trained.facts.claim
    headline = f"{claim.headline[0].upper()}{claim.headline[1:]}."
    confirmed = False
    if claim.is_private:
        st.success(
            f"**{headline}** Synthesizing more from this model spends nothing more. Epsilon adds up over "
            "several models of the same people." + (OF_WINDOWS if claim.unit == "window" else "")
        )
    else:
        st.error(
            f"**{headline}** The synthetic data may reveal single people of the training data. Treat them "
            "like the recordings themselves."
        )
        confirmed = st.checkbox(
            "I know that this model is not private, and that its export says so.",
            key=f"{prefix}confirm {identity}",
        )
    with st.expander("Privacy statement of this model", expanded=False, key=f"{prefix}statement"):
        st.code(claim.statement.strip(), language=None, wrap_lines=True)
    return confirmed


def _ask(trained: TrainedModel) -> Request:
    """The request that the user enters, unchecked."""
    classes = trained.facts.classes
    usual = synthesis.usual_request(len(classes))
    st.subheader("What to synthesize")
    columns = st.columns(3 + len(classes))
    subjects = columns[0].number_input("Subjects", value=usual.subjects, step=1, key="subjects")
    windows = columns[1].number_input("Windows per subject", value=usual.windows, step=1, key="windows")
    seed = columns[2].number_input("Seed", value=usual.seed, step=1, key="seed")
    percent = [
        column.number_input(f"% {name}", value=round(100 * share), step=1, key=f"share {name}")
        for column, name, share in zip(columns[3:], classes, usual.shares, strict=True)
    ]
    return Request(int(subjects), int(windows), tuple(value / 100 for value in percent), int(seed))


def _generated(choices: Sequence[Choice], request: Request) -> list[Generated]:
    """Windows of the last click on the button, if models, claims and request are still the same."""
    identity = (*(choice.identity for choice in choices), request)
    if st.button("Generate", type="primary", key="generate"):
        # First: an error below must not leave older windows on the page.
        st.session_state.pop("generated", None)
        with st.spinner("Synthesizing"):
            made = [
                synthesis.make(choice.trained, request, confirmed_not_private=choice.confirmed)
                for choice in choices
            ]
        st.session_state["generated"] = (identity, made)
    known, made_before = st.session_state.get("generated", (None, []))
    return made_before if known == identity else []


def _results(generated: Generated, choice: Choice) -> None:
    prefix, confirmed = choice.prefix, choice.confirmed
    form_place, button = st.columns([1, 3], vertical_alignment="bottom")
    form_name = str(form_place.radio("Format", list(FORMS), horizontal=True, key=f"{prefix}form"))
    # Key of the caches below: everything that their bytes depend on.
    identity = f"{cell_hash(generated)} {generated.trained.facts.claim.headline}"
    file = _file(identity, FORMS[form_name], confirmed, generated)
    # on_click="ignore": a download does not run the page again.
    button.download_button(
        f"Download {form_name}: {choice.file.model}",
        file.content,
        file.name,
        "application/zip",
        key=f"{prefix}download",
        on_click="ignore",
    )
    st.caption("The zip file holds the data, data card, model card, privacy statement and ledger.")
    names = ("Signals", "Distributions", "Data card", "Model card")
    signals, distributions, of_data, of_model = st.tabs(names)
    with signals:
        st.image(_signals(identity, confirmed, generated))
    with distributions:
        st.image(_distributions(identity, confirmed, generated))
        st.table(synthesis.class_means(generated))
        st.caption(
            "Means of synthetic windows. Ranges and directions come from the literature, not from recordings."
        )
    for tab, card in zip((of_data, of_model), _cards(identity, confirmed, generated), strict=True):
        with tab:
            st.markdown(_demoted(card))


# Streamlit leaves parameters with a leading underscore out of the key of a cache.
# Streamlit leaves parameters with a leading underscore out of the key of a cache.
@st.cache_data(max_entries=4, show_spinner="Writing")
def _file(identity: str, form: Form, confirmed: bool, _generated: Generated) -> Export:
    return export.export(_generated, form, confirmed_not_private=confirmed)


@st.cache_data(max_entries=20, show_spinner=False)
def _cards(identity: str, confirmed: bool, _generated: Generated) -> tuple[str, str]:
    return export.preview(_generated, confirmed_not_private=confirmed)


@st.cache_data(max_entries=20, show_spinner="Drawing")
def _signals(identity: str, confirmed: bool, _generated: Generated) -> bytes:
    return figures.png(figures.signals_figure(_generated, confirmed_not_private=confirmed))


@st.cache_data(max_entries=20, show_spinner="Drawing")
def _distributions(identity: str, confirmed: bool, _generated: Generated) -> bytes:
    return figures.png(figures.distributions_figure(_generated, confirmed_not_private=confirmed))


def _name(file: ModelFile, fold: str) -> str:
    return f"{file.model}, {file.budget}, seed {file.seed}, {_fold_label(fold)}"


def _demoted(card: str) -> str:
    """A card whose headings are two levels lower, below those of the page."""
    return re.sub(r"^(#+ )", r"##\1", card, flags=re.MULTILINE)


def _unique(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))


def _fold_label(fold: str) -> str:
    return "all people of the cohort" if fold == ALL else f"all people except {fold}"
