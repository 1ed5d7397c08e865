"""Your own generator without a package: the class of docs/extension.md, fitted and sampled."""

import numpy as np
from pydantic import Field

from pulseveil.core.randomness import root_stream
from pulseveil.generators import Generator, GeneratorSettings, Training
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE


class BlurredSettings(GeneratorSettings):
    """Keys of `blurred` in a study."""

    spread: float = Field(1.0, gt=0, description="size of the noise, as a multiple of the real spread")


class Blurred(Generator):
    """The mean window of each condition, plus noise; mean and spread (classes, time, channels)."""

    Settings = BlurredSettings
    title = "Blurred copies"
    version = 1

    def __init__(self, mean, spread):
        self._mean, self._spread = mean, spread

    @classmethod
    def fit(cls, settings, training):
        """Learn from training.windows (n, time, channels) and training.condition (n), codes from 0."""
        training.budget.refuse_private("blurred")
        groups = [training.windows[training.condition == code] for code in range(training.classes)]
        mean = np.stack([group.mean(axis=0) for group in groups])
        return cls(mean, settings.spread * np.stack([group.std(axis=0) for group in groups]))

    @property
    def noise_size(self):
        """Number of standard normal random numbers for one window."""
        return self._mean[0].size

    def sample(self, condition, noise):
        """Windows (n, time, channels) for the codes condition (n), from noise (n, noise_size)."""
        noise = noise.reshape(len(condition), *self._mean.shape[1:])
        return self._mean[condition] + self._spread[condition] * noise

    def arrays(self):
        """Arrays to store in the model file."""
        return {"mean": self._mean, "spread": self._spread}

    @classmethod
    def from_arrays(cls, settings, arrays):
        """The generator from the arrays of a model file."""
        return cls(arrays["mean"], arrays["spread"])

    @staticmethod
    def expected_seconds(settings, rows, private):
        """Expected CPU seconds to learn from `rows` windows, for the plan."""
        return 0.01 + 1e-5 * rows


# Windows of 60 samples and 2 channels: values around 0 in condition 0, around 3 in condition 1.
random = np.random.default_rng(7)
condition = np.repeat(np.array([0, 1], dtype=np.int8), 50)
windows = (3 * condition[:, None, None] + random.normal(size=(100, 60, 2))).astype(np.float32)

settings = BlurredSettings(spread=0.5)
subject = np.full(len(windows), "S1")
training = Training(windows, condition, subject, classes=2, budget=NOT_PRIVATE, stream=root_stream(1))
model = Blurred.fit(settings, training)

# A synthetic subject has 25 windows of condition 0 and 10 windows of condition 1, like a published subject.
generated = synthetic_subjects(model, subjects=40, classes=2, stream=root_stream(2))
for code in (0, 1):
    found = generated.windows[generated.condition == code]
    print(f"condition {code}: {len(found)} windows, mean {found.mean():.2f}, SD {found.std():.2f}")
