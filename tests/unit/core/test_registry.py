"""Classes of other packages are checked against their protocol when they are loaded by their entry point."""

import inspect
import itertools
import subprocess
import sys
from types import ModuleType

import pytest

from pulseveil.cohorts import Cohort
from pulseveil.cohorts.simulated import Simulated
from pulseveil.core import registry
from pulseveil.core.errors import InputError
from pulseveil.detectors import Detector, DetectorKind, DetectorModel
from pulseveil.detectors.class_means import ClassMeans
from pulseveil.generators import Discriminates, FitsTogether, Generator, GeneratorKind, GeneratorModel
from pulseveil.generators.moments import Moments

BASES = {"generators": Generator, "detectors": Detector, "cohorts": Cohort}
WHOLE = {"generators": Moments, "detectors": ClassMeans, "cohorts": Simulated}
# How the library calls each method, spelled by hand.
METHODS = {
    "generators": {
        "fit": "class method fit(settings, training)",
        "mechanisms": "static method mechanisms(settings, budget)",
        "audited_settings": "static method audited_settings(settings, claimed, audited)",
        "require_windows": "static method require_windows(settings, channels, scaling)",
        "uses_public_people": "static method uses_public_people(settings)",
        "sample": "method sample(condition, noise)",
        "expected_seconds": "static method expected_seconds(settings, rows, private)",
        "arrays": "method arrays()",
        "from_arrays": "class method from_arrays(settings, arrays)",
    },
    "detectors": {
        "expected_seconds": "static method expected_seconds(settings, rows, private)",
        "uses_public_people": "static method uses_public_people(settings)",
        "architecture": "static method architecture(settings)",
        "weights": "static method weights(settings, arrays, columns)",
        "mechanisms": "static method mechanisms(settings, budget)",
        "audited_settings": "static method audited_settings(settings, claimed, audited)",
        "fit": "class method fit(settings, training)",
        "from_arrays": "class method from_arrays(settings, arrays)",
    },
    "cohorts": {
        "__init__": "method __init__(settings)",
        "outline": "method outline()",
        "sources": "method sources()",
        "recordings": "method recordings()",
    },
}
PROPERTIES = {"generators": ("noise_size", "person_noise", "ledger"), "detectors": (), "cohorts": ()}
VARIABLES = {
    "generators": {
        "Settings": ("type[pulseveil.generators.GeneratorSettings]", dict),
        "title": ("str", None),
        "colour": ("str | None", 7),
        "version": ("int", "1"),
        "uses_tensorflow": ("bool", 1),
        "learns": ("bool", "yes"),
        "audited": ("bool", "no"),
        "no_budget": ("str", 7),
        "private_units": ("frozenset[str]", "subject"),
        "programs": ("tuple[int, ...]", 1),
        "private_differences": ("tuple[str, ...]", "none"),
        "model": ("str", 7),
    },
    "detectors": {
        "Settings": ("type[pulseveil.detectors.DetectorSettings]", dict),
        "version": ("int", None),
        "uses_tensorflow": ("bool", "no"),
        "private_units": ("frozenset[str]", {"subject"}),
        "programs": ("tuple[int, ...]", ("1",)),
        "private_differences": ("tuple[str, ...]", (1,)),
        "title": ("str", 1),
        "colour": ("str | None", 7),
        "role": (
            "Literal['model', 'majority', 'elapsed_time', 'public_signs', 'public_signs_three', 'untrained', "
            "'rule']",
            "timeline",
        ),
        "public_knowledge": ("Literal['never', 'private', 'always']", True),
        "share_without_bins": ("float", "all"),
        "is_linear": ("bool", "yes"),
        "model": ("str", None),
    },
    "cohorts": {
        "Settings": ("type[pulseveil.cohorts.CohortSettings]", dict),
        "version": ("int", 1.5),
        "origin": ("pulseveil.cohorts.Origin", "our laboratory"),
        "scaled": ("bool", "per person"),
    },
}
EVERY_METHOD = [(group, name) for group in METHODS for name in METHODS[group]]
EVERY_MEMBER = [(g, name) for g in METHODS for name in (*METHODS[g], *PROPERTIES[g], *VARIABLES[g])]
# What a subclass of the base need not define.
DEFAULTS = {
    *(
        "uses_tensorflow",
        "learns",
        "audited",
        "no_budget",
        "private_units",
        "programs",
        "private_differences",
    ),
    *("mechanisms", "audited_settings", "ledger", "require_windows", "uses_public_people", "person_noise"),
    *("colour", "model", "role", "architecture", "public_knowledge", "share_without_bins", "origin"),
    *("is_linear", "weights"),
    "scaled",
}
_numbers = itertools.count()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a class as one of an installed package, whose entry point is told by its number."""

    def loaded(group, kind):
        name = f"outside{next(_numbers)}"
        module = ModuleType(name)
        module.Kind = kind
        monkeypatch.setitem(sys.modules, name, module)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[pulseveil.{group}]\n{name} = {name}:Kind\n")
        monkeypatch.syspath_prepend(tmp_path)
        return registry.load(group, name)

    return loaded


def members(group, **changed):
    """A namespace with all members of the protocol, as a built-in kind of the group has them."""
    names = [name for g, name in EVERY_MEMBER if g == group]
    return {name: inspect.getattr_static(WHOLE[group], name) for name in names} | changed


def faults(load, group, kind):
    """What the refusal says of the class, without the entry point, the class and the advice around it."""
    with pytest.raises(InputError) as refused:
        load(group, kind)
    message, base = str(refused.value), BASES[group]
    named = f"{base.__module__}.{base.__name__}"
    source, text = message.split(f" does not fit {named}: ")
    assert source.startswith("entry point outside")
    assert f"of pulseveil.{group}: {kind.__module__}.{kind.__qualname__}" in source
    found, advice = text.rsplit("; mend the class, ", 1)
    assert advice == f"see docs/extension.md (a subclass of {named} has its defaults)"
    return found.split("; ")


@pytest.mark.parametrize("group", METHODS)
def test_every_kind_of_this_package_fits(group):
    assert all(inspect.isclass(registry.load(group, name)) for name in registry.names(group))


@pytest.mark.parametrize("group", METHODS)
def test_the_tables_of_this_test_name_every_member_of_the_protocol(group):
    parts = [part for part in BASES[group].__mro__ if part.__module__ == BASES[group].__module__]
    public = {name for part in parts for name in vars(part) if not name.startswith("_")}
    annotated = {name for part in parts for name in inspect.get_annotations(part)}
    assert {n for g, n in EVERY_MEMBER if g == group} - {"__init__"} == public | annotated


@pytest.mark.parametrize("group", METHODS)
def test_a_class_with_all_members_fits_without_the_base(load, group):
    kind = type("Whole", (), members(group))
    assert load(group, kind) is kind


@pytest.mark.parametrize(("group", "name"), EVERY_MEMBER)
def test_a_class_without_a_member_is_refused_with_what_was_expected(load, group, name):
    kept = members(group)
    del kept[name]
    wanted = METHODS[group].get(name) or f"property {name}"
    if name in VARIABLES[group]:
        wanted = f"class variable {name}: {VARIABLES[group][name][0]}"
    assert faults(load, group, type("Lacking", (), kept)) == [f"expected {wanted}, found none"]


@pytest.mark.parametrize(("group", "name"), EVERY_METHOD)
def test_a_method_with_other_parameters_is_refused_with_both_signatures(load, group, name):
    wanted = METHODS[group][name]
    wrongs = {"static": staticmethod(lambda other: None), "class": classmethod(lambda cls, other: None)}
    manner = wanted.split()[0]
    wrong = wrongs.get(manner, lambda self, other: None)
    found = wanted.split("(")[0] + "(other)"
    assert faults(load, group, type("Wrong", (), members(group, **{name: wrong}))) == [
        f"expected {wanted}, found {found}"
    ]


@pytest.mark.parametrize(("group", "name"), EVERY_METHOD)
def test_a_method_that_is_a_number_is_refused(load, group, name):
    kind = type("Wrong", (), members(group, **{name: 3}))
    assert faults(load, group, kind) == [f"expected {METHODS[group][name]}, found 3"]


@pytest.mark.parametrize(
    ("group", "name"), [(g, n) for g, n in EVERY_METHOD if METHODS[g][n].startswith(("class ", "static "))]
)
def test_a_method_of_instances_is_refused_where_the_class_is_asked(load, group, name):
    wanted = METHODS[group][name].split(" method ")[1]
    arguments = wanted.split("(", 1)[1]
    written = {}
    exec(f"def {name}(self, {arguments}: ...", written)
    (fault,) = faults(load, group, type("Wrong", (), members(group, **{name: written[name]})))
    assert fault == f"expected {METHODS[group][name]}, found method {wanted}"


@pytest.mark.parametrize("name", PROPERTIES["generators"])
def test_a_property_without_its_decorator_is_refused(load, name):
    kind = type("Wrong", (), members("generators", **{name: lambda self: 0}))
    assert faults(load, "generators", kind) == [f"expected property {name}, found method"]


@pytest.mark.parametrize("attribute", [7, inspect.getattr_static(Moments, "noise_size")])
def test_a_property_may_be_an_attribute_of_the_class(load, attribute):
    kind = type("Whole", (), members("generators", noise_size=attribute))
    assert load("generators", kind) is kind


def test_a_property_may_be_a_field_of_a_dataclass(load):
    kept = members("generators", __annotations__={"noise_size": int})
    del kept["noise_size"]
    kind = type("Whole", (), kept)
    assert load("generators", kind) is kind


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in VARIABLES for n in VARIABLES[g]])
def test_a_class_variable_of_another_type_is_refused(load, group, name):
    hint, wrong = VARIABLES[group][name]
    kind = type("Wrong", (), members(group, **{name: wrong}))
    assert faults(load, group, kind) == [f"expected class variable {name}: {hint}, found {wrong!r}"]


@pytest.mark.parametrize("group", METHODS)
def test_a_subclass_that_defines_nothing_lacks_all_but_the_defaults(load, group):
    found = faults(load, group, type("Empty", (BASES[group],), {}))
    required = {name for g, name in EVERY_MEMBER if g == group} - DEFAULTS
    assert len(found) == len(required)
    assert all(any(f" {name}" in fault for fault in found) for name in required)


@pytest.mark.parametrize("group", METHODS)
def test_a_subclass_takes_the_defaults(load, group):
    kept = {name: member for name, member in members(group).items() if name not in DEFAULTS}
    kind = load(group, type("Short", (BASES[group],), kept))
    assert getattr(kind, "private_units", frozenset()) == frozenset()


@pytest.mark.parametrize(
    ("group", "left"), [("generators", "mechanisms"), ("generators", "ledger"), ("detectors", "mechanisms")]
)
def test_a_kind_with_private_units_may_not_leave_the_defaults_of_others(load, group, left):
    kept = members(group)
    del kept[left]
    wanted = METHODS[group].get(left, f"property {left}")
    assert faults(load, group, type("Careless", (BASES[group],), kept)) == [
        f"expected {wanted} of its own, as it has private_units"
    ]


def test_further_bases_are_checked_too(load):
    together = "class method fit_together(settings, trainings, checkpoint)"
    realness = "method realness(windows, condition)"
    bases = (Generator, FitsTogether, Discriminates)
    assert faults(load, "generators", type("Careless", bases, members("generators"))) == [
        f"expected {together}, found none",
        f"expected {realness}, found none",
    ]
    wrong = members("generators", fit_together=classmethod(lambda cls, settings, trainings: []))
    assert faults(load, "generators", type("Wrong", bases[:2], wrong)) == [
        f"expected {together}, found class method fit_together(settings, trainings)"
    ]


APART = {
    "generators": (GeneratorKind, GeneratorModel),
    "detectors": (DetectorKind, DetectorModel),
}


def apart(monkeypatch, group, bases=(), of_kind=None, of_model=None):
    """A kind and its model as two classes, with the members of a built-in kind but for changes."""
    both, module = members(group), ModuleType(f"outside{next(_numbers)}")
    light = {*vars(APART[group][0]), *inspect.get_annotations(APART[group][0])}
    model = {name: member for name, member in both.items() if name not in light} | (of_model or {})
    module.Model = type("Model", (), model)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kind = {name: both[name] for name in both if name in light} | {"model": f"{module.__name__}:Model"}
    return type("Light", bases, kind | (of_kind or {})), module.Model


@pytest.mark.parametrize("group", APART)
def test_a_kind_may_name_its_model_which_only_a_job_imports(load, monkeypatch, group):
    kind, model = apart(monkeypatch, group)
    del sys.modules[(named := kind.model.split(":")[0])]
    assert load(group, kind) is kind
    name = f"outside{next(_numbers) - 1}"
    with pytest.raises(InputError, match=f"{kind.model} .*cannot be loaded .ModuleNotFoundError"):
        registry.model(group, name)
    monkeypatch.setitem(sys.modules, named, ModuleType(named))
    sys.modules[named].Model = model
    assert registry.model(group, name) is model


def model_faults(load, group, kind):
    load(group, kind)
    with pytest.raises(InputError) as refused:
        registry.model(group, f"outside{next(_numbers) - 1}")
    base = APART[group][1]
    source, text = str(refused.value).split(f" does not fit {base.__module__}.{base.__name__}: ")
    assert f"= {kind.model} of pulseveil.{group}" in source
    return text.split("; mend the class, ")[0].split("; ")


@pytest.mark.parametrize("group", APART)
def test_a_kind_apart_is_checked_without_its_model_and_the_model_by_name_and_signature(
    load, monkeypatch, group
):
    kind, _ = apart(monkeypatch, group, of_kind={"expected_seconds": 3})
    with pytest.raises(InputError, match=f"does not fit .*{APART[group][0].__name__}: expected static"):
        load(group, kind)
    kind, _ = apart(monkeypatch, group, of_model={"fit": classmethod(lambda cls, windows: None)})
    assert model_faults(load, group, kind) == [
        "expected class method fit(settings, training), found class method fit(windows)"
    ]


def test_the_model_must_be_what_its_kind_says_that_it_is(load, monkeypatch):
    kind, _ = apart(monkeypatch, "generators", (FitsTogether, Discriminates))
    assert model_faults(load, "generators", kind) == [
        "expected class method fit_together(settings, trainings, checkpoint), found none",
        "expected method realness(windows, condition), found none",
    ]
    kind, model = apart(monkeypatch, "generators")
    kind = type("Private", (kind,), {"private_units": frozenset({"window"})})
    model.ledger = inspect.getattr_static(GeneratorModel, "ledger")
    assert model_faults(load, "generators", kind) == [
        "expected property ledger of its own, as it has private_units"
    ]


@pytest.mark.parametrize("group", APART)
def test_every_model_of_this_package_fits(group):
    for name in registry.names(group):
        kind, model = registry.load(group, name), registry.model(group, name)
        assert (model is kind) == (kind.model == "")
        assert callable(model.fit)


def test_plans_load_every_kind_without_heavy_imports():
    code = (
        "import sys; from pulseveil.core.registry import load, names; "
        "[load(group, name) for group in ('generators', 'detectors') for name in names(group)]; "
        "heavy = {'tensorflow', 'sklearn', 'scipy', 'pandas', 'h5py', 'dp_accounting'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_a_function_is_no_kind(load):
    with pytest.raises(InputError, match="expected a class, found a function"):
        load("detectors", lambda settings: None)


FITTING = [
    "cls, settings, training",
    "cls, settings, training, verbose=False",
    "cls, *args, **others",
    "*args, **others",
]
UNFIT = [
    "cls, settings",
    "cls, settings, rows",
    "cls, training, settings",
    "cls, settings, *, training",
    "cls, settings, /, training",
    "cls, settings, training, seed",
    "cls, settings, **others",
    "cls, *args",
    "cls",
]


@pytest.mark.parametrize("parameters", [*FITTING, *UNFIT])
def test_parameters_fit_if_each_call_of_the_library_reaches_its_own(load, parameters):
    written = {}
    exec(f"def fit({parameters}): ...", written)
    kind = type("Kind", (), members("detectors", fit=classmethod(written["fit"])))
    if parameters in FITTING:
        assert load("detectors", kind) is kind
    else:
        (fault,) = faults(load, "detectors", kind)
        assert fault.startswith(f"expected {METHODS['detectors']['fit']}, found class method fit(")
