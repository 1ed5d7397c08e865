"""EmbracePlus and tables: timed pieces of any rate, unit and gap reach the channels of a recording."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pulseveil.cohorts.embraceplus import EmbracePlus, EmbracePlusSettings
from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
from pulseveil.cohorts.table import Table, TableSettings
from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS, Recording
from pulseveil.core.errors import InputError
from pulseveil.windows.cutting import cut_person
from pulseveil.windows.physiology import physiological_channels
from pulseveil.windows.recipe import Recipe

START = 1_764_153_713
RECIPE = Recipe.with_defaults("sound", "detector", calibration_s=60)
HZ = {"bvp": 64, "eda": 4, "temperature": 1, "accelerometer": 64}
Samples = Mapping[str, NDArray[np.float64]]


@cache
def person() -> Recording:
    settings = SimulatedSettings(subjects=1, seed=5, baseline_s=300, stress_s=240, amusement_s=60)
    return next(Simulated(settings).recordings())


def samples(first_s: int, last_s: int) -> dict[str, NDArray[np.float64]]:
    """The simulated person as an EmbracePlus measures: BVP in thousandths, ACC in g, TEMP at 1 Hz."""
    cut = {
        name: signal.values[round(first_s * signal.rate_hz) : round(last_s * signal.rate_hz)]
        for name, signal in person().signals.items()
    }
    acc = np.stack([np.repeat(cut[f"ACC_{axis}"], 2) for axis in "xyz"], axis=1) / 64
    return {
        "bvp": cut["BVP"] / 1000,
        "eda": cut["EDA"],
        "temperature": cut["TEMP"][::4],
        "accelerometer": acc,
    }


def schema(new: bool) -> dict[str, Any]:
    """Schema of a file, with the fields that are read; `conversionFactor` came with version 6.5.0."""

    def record(name: str, **fields: Any) -> dict[str, Any]:
        return {"type": "record", "name": name, "fields": [{"name": k, "type": v} for k, v in fields.items()]}

    imu = dict.fromkeys(("physicalMin", "physicalMax", "digitalMin", "digitalMax"), "int")
    imu |= {"conversionFactor": "float"} if new else {}
    timed = {"timestampStart": "long", "samplingFrequency": "float"}
    ints, floats = {"type": "array", "items": "int"}, {"type": "array", "items": "float"}
    part = record("Part", **timed, values=floats)
    acc = record("Acc", **timed, imuParams=record("Imu", **imu), x=ints, y=ints, z=ints)
    raw = record("Raw", accelerometer=acc, eda=part, temperature="Part", bvp="Part")
    return record("Session", deviceSn="string", rawData=raw)


def write_avro(
    path: Path, first_s: int, last_s: int, *, new: bool = True, rates: Mapping[str, float] | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found, stated = samples(first_s, last_s), {**HZ, **(rates or {})}
    start = (START + first_s) * 1_000_000
    timed = {name: {"timestampStart": start, "samplingFrequency": float(stated[name])} for name in HZ}
    # +-16 g over 16 bit; a count of the new schema is stated, and here half as large.
    factor = 32 / 65536 / (2 if new else 1)
    imu = {"physicalMin": -16, "physicalMax": 16, "digitalMin": -32768, "digitalMax": 32768}
    imu |= {"conversionFactor": factor} if new else {}
    counts = np.rint(found["accelerometer"] / factor).astype(int)
    raw: dict[str, Any] = {
        name: {**timed[name], "values": found[name].tolist()} for name in ("eda", "temperature", "bvp")
    }
    axes = {axis: counts[:, i].tolist() for i, axis in enumerate("xyz")}
    raw["accelerometer"] = {**timed["accelerometer"], "imuParams": imu, **axes}
    with path.open("wb") as file:
        fastavro.writer(file, schema(new), [{"deviceSn": "3YK", "rawData": raw}])


def labels(folder: Path, *spans: tuple[str, float, float, int]) -> Path:
    path = folder / "labels.csv"
    rows = [f"P1,{name},{START + start},{START + end},{stress}" for name, start, end, stress in spans]
    path.write_text("\n".join(["subject,condition,start_unix,end_unix,stress", *rows]))
    return path


SPANS = (("rest", 10, 190, 0), ("task", 200, 380, 1))


def plus(folder: Path, *spans: tuple[str, float, float, int]) -> list[Recording]:
    given = EmbracePlusSettings(data=folder, labels=labels(folder, *(spans or SPANS)))
    return list(EmbracePlus(given).recordings())


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_files_of_both_schemas_reach_the_channels_of_an_e4(tmp_path: Path, new: bool, packed: bool) -> None:
    """Two files, folders as the vendor's: one session with the simulated signals in the units of an E4."""
    for start, end in ((0, 200), (200, 400)):
        write_avro(tmp_path / f"P1/2025/P1-3YK/raw_data/v6/1-1-P1_{START + start}.avro", start, end, new=new)
    if packed:
        with zipfile.ZipFile(tmp_path / "P1.zip", "w") as archive:
            for file in (tmp_path / "P1").rglob("*.avro"):
                archive.write(file, file.relative_to(tmp_path / "P1"))
                file.unlink()
        for folder in sorted((tmp_path / "P1").rglob("*"), reverse=True):
            folder.rmdir()
        (tmp_path / "P1").rmdir()
    (found,) = plus(tmp_path)
    assert found.start_unix_s == START
    assert found.whole_seconds == 400
    assert [(i.start_s, i.end_s) for i in found.intervals] == [(10, 190), (200, 380)]
    for name, tolerance in (("BVP", 1e-4), ("EDA", 1e-5), ("ACC_x", 0.05), ("ACC_z", 0.05)):
        step = round(found.signals[name].rate_hz / person().signals[name].rate_hz)
        ours = found.signals[name].values[::step]
        np.testing.assert_allclose(ours, person().signals[name].values[: len(ours)], atol=tolerance)
    ours, e4 = physiological_channels(found).channels, physiological_channels(person()).channels
    for name in set(PHYSIOLOGICAL_CHANNELS) - {"activity", "temperature"}:
        np.testing.assert_allclose(ours[name][30:300], e4[name][30:300], rtol=0.01, atol=0.01)
    assert np.abs(ours["temperature"] - e4["temperature"][:400]).max() < 0.2


def test_time_in_a_gap_is_no_data(tmp_path: Path) -> None:
    """Files with 90 s between them are two sessions; an interval over the gap has a part in each."""
    write_avro(tmp_path / "P1" / "a.avro", 0, 150)
    write_avro(tmp_path / "P1" / "b.avro", 240, 420)
    one, other = plus(tmp_path, ("rest", 0, 80, 0), ("task", 90, 400, 1))
    assert (one.whole_seconds, other.whole_seconds, other.start_unix_s) == (150, 180, START + 240)
    assert [(i.start_s, i.end_s) for i in (*one.intervals, *other.intervals)] == [
        (0, 80),
        (90, 150),
        (0, 160),
    ]
    cut = cut_person([one, other], RECIPE)
    assert cut.windows.start_s.tolist() == [0, 90, 240, 300]
    assert any("90 s lie between two recordings" in repair for repair in cut.repairs)


def test_a_short_gap_is_bridged_and_not_measured(tmp_path: Path) -> None:
    write_avro(tmp_path / "P1" / "a.avro", 0, 200)
    write_avro(tmp_path / "P1" / "b.avro", 202, 400)
    (found,) = plus(tmp_path)
    eda = found.signals["EDA"]
    assert np.flatnonzero(eda.unmeasured["gap"]).tolist() == list(range(4 * 200, 4 * 202))
    edges = person().signals["EDA"].values[[799, 808]]
    np.testing.assert_allclose(eda.values[799:809], np.linspace(*edges, 10), atol=1e-6)
    assert "EDA: 2.0 s in short gaps, interpolated" in found.repairs


def test_a_short_file_with_a_wrong_rate_is_timed_by_the_nominal_one(tmp_path: Path) -> None:
    write_avro(tmp_path / "P1" / "a.avro", 0, 380)
    write_avro(tmp_path / "P1" / "b.avro", 380, 390, rates={"eda": 4.15, "temperature": 1.06})
    (found,) = plus(tmp_path)
    assert found.whole_seconds == 390
    np.testing.assert_allclose(
        found.signals["EDA"].values, person().signals["EDA"].values[: 4 * 390], atol=1e-5
    )
    write_avro(tmp_path / "P1" / "b.avro", 380, 390, rates={"eda": 8})
    with pytest.raises(InputError, match=r"b\.avro: the rate is 8 Hz, expected about 4 Hz"):
        plus(tmp_path)


def cut_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def no_avro(path: Path) -> None:
    path.write_bytes(b"Obj")


def twice(path: Path) -> None:
    path.with_name("copy.avro").write_bytes(path.read_bytes())


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut_file, r"a\.avro: not a whole Avro file of an EmbracePlus .* download it again"),
        (no_avro, r"a\.avro: not a whole Avro file"),
        (twice, r"a\.avro and .*copy\.avro overlap by 400 s of BVP; keep one of them"),
        (Path.unlink, r"P1: no \.avro file and no bvp\.csv"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path: Path, damage: Callable[[Path], None], told: str) -> None:
    write_avro(tmp_path / "P1" / "a.avro", 0, 400)
    damage(tmp_path / "P1" / "a.avro")
    with pytest.raises(InputError, match=told):
        plus(tmp_path)


def columns(name: str) -> list[str]:
    return ["x", "y", "z"] if name == "accelerometer" else [name]


def write_csv(folder: Path, unit: float = 1e6, gap: bool = False) -> None:
    """One CSV per signal, as the vendor's conversion: time in microseconds and values."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in samples(0, 400).items():
        seconds = np.arange(len(values)) / HZ[name]
        table = pd.DataFrame(values.reshape(len(values), -1), columns=columns(name))
        table.insert(0, "unix_timestamp", np.rint((START + seconds) * unit).astype(np.int64))
        kept = (seconds < 190) | (seconds >= 195) if gap else np.ones(len(seconds), bool)
        table[kept].to_csv(folder / f"{name}.csv", index=False)


def test_conversions_to_csv_read_as_their_avro_files(tmp_path: Path) -> None:
    write_avro(tmp_path / "avro" / "P1" / "a.avro", 0, 400)
    write_csv(tmp_path / "csv" / "P1")
    ((one,), (other,)) = plus(tmp_path / "avro"), plus(tmp_path / "csv")
    for name, signal in one.signals.items():
        np.testing.assert_allclose(other.signals[name].values, signal.values, atol=0.05)


SIGNALS: Mapping[str, Any] = {
    "BVP": {"file": "bvp.csv", "columns": ["bvp"], "rate_hz": 64, "scale": 1000},
    "EDA": {"file": "eda.csv", "columns": ["eda"], "rate_hz": 4},
    "ACC": {"file": "accelerometer.csv", "columns": ["x", "y", "z"], "rate_hz": 64, "unit": "g"},
    "TEMP": {"file": "temperature.csv", "columns": ["temperature"], "rate_hz": 1},
}


def table(folder: Path, signals: Mapping[str, Any] = SIGNALS, unit: str = "ms") -> list[Recording]:
    given = {"data": folder, "labels": labels(folder, *SPANS), "time": "unix_timestamp", "time_unit": unit}
    return list(Table(TableSettings.model_validate({**given, "signals": signals})).recordings())


@pytest.mark.parametrize(("unit", "per_second"), [("ms", 1e3), ("us", 1e6), ("ns", 1e9)])
def test_a_table_is_read_by_names_and_units_alone(tmp_path: Path, unit: str, per_second: float) -> None:
    write_csv(tmp_path / "P1", per_second)
    (found,) = table(tmp_path, unit=unit)
    assert found.whole_seconds == 400
    tolerance = {"BVP": 2.0, "EDA": 1e-3, "ACC_y": 1.0, "TEMP": 0.05}
    for name, most in tolerance.items():
        expected = person().signals[name]
        step = max(1, round(found.signals[name].rate_hz / expected.rate_hz))
        ours, own = found.signals[name].values[::step], expected.values[: round(400 * expected.rate_hz)]
        own = own[:: len(own) // len(ours)]
        assert np.median(np.abs(ours - own)) < most


def test_one_table_for_all_signals_and_other_units(tmp_path: Path) -> None:
    """A logger that writes all signals into one file, skin temperature in Fahrenheit and EDA in nS."""
    write_csv(tmp_path / "csv" / "P1", 1e3)
    parts = [pd.read_csv(tmp_path / "csv" / "P1" / f"{name}.csv") for name in HZ]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part, on="unix_timestamp", how="outer")
    whole["temperature"] = whole["temperature"] * 9 / 5 + 32
    whole["eda"] *= 1000
    (tmp_path / "one" / "P1").mkdir(parents=True)
    whole.to_csv(tmp_path / "one" / "P1" / "all.csv", index=False)
    units = {"TEMP": {"unit": "degrees Fahrenheit"}, "EDA": {"unit": "nS"}}
    signals = {name: {**values, "file": "all.csv", **units.get(name, {})} for name, values in SIGNALS.items()}
    ((one,), (other,)) = table(tmp_path / "csv"), table(tmp_path / "one", signals)
    for name, signal in one.signals.items():
        np.testing.assert_allclose(other.signals[name].values, signal.values, atol=1e-6)
    signals["TEMP"] = {**signals["TEMP"], "unit": None}
    with pytest.raises(InputError, match=r"P1: TEMP: .* look like degrees Fahrenheit"):
        table(tmp_path / "one", signals)


def test_parquet_reads_as_the_same_table_in_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "csv" / "P1", 1e3)
    (tmp_path / "parquet" / "P1").mkdir(parents=True)
    for path in (tmp_path / "csv" / "P1").glob("*.csv"):
        pd.read_csv(path).to_parquet(tmp_path / "parquet" / "P1" / f"{path.stem}.parquet")
    parquet = {n: {**v, "file": v["file"].replace(".csv", ".parquet")} for n, v in SIGNALS.items()}
    ((one,), (other,)) = table(tmp_path / "csv"), table(tmp_path / "parquet", parquet)
    for name, signal in one.signals.items():
        np.testing.assert_array_equal(other.signals[name].values, signal.values)
    (tmp_path / "parquet" / "P1" / "eda.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"eda\.parquet: not a table .* or Parquet"):
        table(tmp_path / "parquet", parquet)


@pytest.mark.parametrize("packed", [True, False])
def test_days_and_devices_of_the_vendors_storage_are_one_person(tmp_path: Path, packed: bool) -> None:
    folder = tmp_path / "1" / "participant_data"
    for day, person, device, start in (
        ("2025-11-26", "P1", "3YK", 0),
        ("2025-11-26", "P1-2", "3YK", 0),
        ("2025-11-27", "P1", "7AB", 200),
    ):
        write_avro(folder / day / f"{person}-{device}" / "raw_data" / "v6" / "a.avro", start, start + 200)
        (folder / day / f"{person}-{device}" / "digital_biomarkers").mkdir(exist_ok=True)
    if packed:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for file in folder.rglob("*.avro"):
                archive.write(file, file.relative_to(tmp_path))
    given = EmbracePlusSettings(
        data=tmp_path / "all.zip" if packed else tmp_path / "1", labels=labels(tmp_path, *SPANS)
    )
    (found,) = EmbracePlus(given).recordings()
    assert found.whole_seconds == 400
    assert len(EmbracePlus(given).sources()) == (2 if packed else 3)
    wrong = labels(tmp_path, *SPANS)
    wrong.write_text(wrong.read_text().replace("P1,", "P3,"))
    with pytest.raises(InputError, match="no folder of a day holds P3-DEVICE; found P1, P1-2"):
        list(EmbracePlus(given).recordings())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("eda", "conductance"), r"eda\.csv: no column eda; found unix_timestamp"),
        (lambda text: text.replace("\n", "\nx", 1), r"eda\.csv row 2: expected numbers, found \['x"),
        (
            lambda text: "\n".join(sorted(text.splitlines(), reverse=True)),
            r"eda\.csv row 3: .* does not rise",
        ),
        (lambda text: "", r"eda\.csv: not a table"),
    ],
)
def test_wrong_tables_are_refused_with_file_and_row(
    tmp_path: Path, change: Callable[[str], str], told: str
) -> None:
    write_csv(tmp_path / "P1", 1e3)
    path = tmp_path / "P1" / "eda.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=told):
        table(tmp_path)
    with pytest.raises(InputError, match="check time_unit"):
        table(tmp_path, unit="us")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"EDA": {**SIGNALS["EDA"], "unit": "volt"}}, "expected one of uS, S, nS"),
        ({"ACC": {**SIGNALS["ACC"], "columns": ["x"]}}, "expected 3"),
    ],
)
def test_settings_name_known_units_and_columns(tmp_path: Path, changed: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        table(tmp_path, {**SIGNALS, **changed})
    with pytest.raises(ValueError, match="found no EDA"):
        table(tmp_path, {name: SIGNALS[name] for name in ("BVP", "ACC", "TEMP")})


def test_the_device_of_the_documentation_reads_a_recording(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "extension.md").read_text()
    code = page.partition("`my_models/logger.py`:")[2].partition("```python\n")[2].partition("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    module: dict[str, Any] = {"__name__": "logger"}
    # The page has no annotations, and must not take over those of this file.
    exec(compile(code, "logger.py", "exec", dont_inherit=True), module)
    rates, found = module["RATES_HZ"], samples(0, 400)
    arrays = {}
    names = {"BVP": "bvp", "EDA": "eda", "ACC": "accelerometer", "TEMP": "temperature"}
    for sensor, scale in (("BVP", 1000), ("EDA", 1), ("ACC", 64), ("TEMP", 1)):
        values = found[names[sensor]].reshape(len(found[names[sensor]]), -1) * scale
        own = np.arange(len(values)) / HZ[names[sensor]]
        times = np.arange(400 * rates[sensor]) / rates[sensor]
        arrays[sensor] = np.stack([np.interp(times, own, axis) for axis in values.T], axis=1)
        arrays[f"{sensor}_times"] = START + times
    (tmp_path / "P1").mkdir()
    np.savez(tmp_path / "P1" / "one.npz", **arrays)
    given = module["LoggerSettings"](data=tmp_path, labels=labels(tmp_path, *SPANS))
    (recording,) = module["Logger"](given).recordings()
    assert recording.whole_seconds == 400
    rate = physiological_channels(recording).channels["heart_rate"]
    expected = physiological_channels(person()).channels["heart_rate"]
    assert np.median(np.abs(rate[30:370] - expected[30:370])) < 1
