"""The settings by which recordings become windows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pulseveil.core.errors import InputError
from pulseveil.core.identity import PHYSIOLOGY
from pulseveil.core.settings import Audience, Channels, LabelRule, Preprocessing, ScalingName

# Default of the least measured share in protocol `sound`: a window that is mostly invented is none. No worn
# device comes near it: the least share of any sensor in a window is 0.997 in a simulated cohort, 0.989 in
# WESAD and 0.954 in Stress-Predict. The share of seconds with a clear heart rate is told and leaves out no
# window: the other channels are measured, and movement depends on the condition (36 of 148 windows of rest
# and 13 of 82 of stress in Stress-Predict would go).
MEASURED = 0.5


@dataclass(frozen=True)
class Recipe:
    """Settings by which recordings become windows; lengths in whole seconds.

    measured: least share of a window that each sensor measured; other windows are left out. label_rule: a
    window has the most frequent condition of its seconds, or stress if any of its seconds has stress.

    Raises:
        InputError: a length is not a whole number of seconds above 0.
    """

    protocol: Preprocessing
    audience: Audience
    channels: Channels
    scaling: ScalingName
    window_s: int = 60
    stride_s: int = 60
    calibration_s: int = 300
    measured: float = 0.0
    label_rule: LabelRule = "majority"

    def __post_init__(self) -> None:
        for name in ("window_s", "stride_s", "calibration_s"):
            value = getattr(self, name)
            if value % 1 != 0 or value < 1:
                raise InputError(
                    f"{name}: expected whole seconds above 0 (windows are at 1 Hz), found {value}"
                )
            # A study file may say 60.0, but rows are indexed with integers.
            object.__setattr__(self, name, int(value))

    @classmethod
    def with_defaults(cls, protocol: Preprocessing, audience: Audience, **given: Any) -> Recipe:
        """The recipe of a protocol, with each value of `given` that is not None instead of its default.

        `paper`: published channels, min-max, all windows; `sound`: physiological channels, calibration, and
        windows that are mostly measured (`MEASURED`). Both: windows of
        60 s, every 30 s for generators and every 60 s for detectors.

        Examples:
            >>> Recipe.with_defaults("sound", "generator", window_s=30).scaling
            'calibration'
        """
        paper = protocol == "paper"
        values: dict[str, Any] = {
            "channels": "published" if paper else "physiological",
            "scaling": "min-max" if paper else "calibration",
            "stride_s": 30 if audience == "generator" else 60,
            "measured": 0.0 if paper else MEASURED,
        }
        values.update({name: value for name, value in given.items() if value is not None})
        return cls(protocol=protocol, audience=audience, **values)

    def settings(self) -> dict[str, Any]:
        """All values that the windows depend on, for hashes."""
        used = asdict(self)
        # The key in the hashes of existing files, which must stay valid.
        used["windows"] = used.pop("audience")
        # Published channels stay valid when physiological ones are computed in another way.
        if self.channels == "physiological":
            used["physiology"] = PHYSIOLOGY
        # Without the defaults of later keys, as in files that were written before there were these keys.
        if not self.measured:
            del used["measured"]
        if self.label_rule == "majority":
            del used["label_rule"]
        # Another length of calibration must not redo windows that are not calibrated.
        if self.scaling != "calibration":
            del used["calibration_s"]
        return used
