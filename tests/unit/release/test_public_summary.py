"""The public summary is that of the scalings and of the literature, in the unit of the windows."""

import numpy as np
import pytest

from pulseveil.core.contracts import CHANNEL_SETS
from pulseveil.core.errors import InputError
from pulseveil.release.public_summary import public_channels
from pulseveil.windows.scaling import CHANNEL_SCALES, Calibration, PublicRange
from pulseveil.windows.timeline import Timeline

CHANNELS = [*CHANNEL_SETS["published"], *CHANNEL_SETS["physiological"]]


def scaled_ends(channel, scaling):
    """The largest and smallest value that a scaling makes of a wrist that goes from one end to the other."""
    scale = CHANNEL_SCALES[channel]
    ends = []
    for first, second in ((scale.low, scale.high), (scale.high, scale.low)):
        values = np.repeat([first, second], 120)[:, None].astype(float)
        interval = np.repeat([0, 1], 120).astype(np.int16)
        condition = np.zeros(240, np.int8)
        timeline = Timeline("S1", values, condition, interval, np.arange(240.0))
        ends.append(scaling.scale(timeline, [channel]).values[-1, 0])
    return min(ends), max(ends)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(("name", "scaling"), [("calibration", Calibration(120)), ("public", PublicRange())])
def test_the_range_is_what_the_scaling_can_reach(channel, name, scaling):
    (public,) = public_channels((channel,), name)
    assert (public.low, public.high) == pytest.approx(scaled_ends(channel, scaling))


def test_directions_are_those_of_the_literature():
    known = {c.name: c.direction for c in public_channels(CHANNEL_SETS["physiological"], "calibration")}
    assert known == {
        "heart_rate": "higher in stress",
        "pulse_amplitude": "lower in stress",
        "eda_level": "higher in stress",
        "eda_phasic": "not known",
        "activity": "no direction",
        "temperature": "lower in stress",
    }


def test_shares_of_the_own_range_lie_between_nothing_and_all():
    channels = public_channels(CHANNEL_SETS["published"], "min-max")
    assert {(c.low, c.high) for c in channels} == {(0, 1)}
    assert "in steps of 10 beats/min" in public_channels(("heart_rate",), "calibration")[0].unit


def test_an_unknown_channel_is_refused():
    with pytest.raises(InputError, match="channel 'ECG': no public facts are known"):
        public_channels(("ECG",), "public")
