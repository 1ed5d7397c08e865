"""Account a budget: from epsilon to a noise multiplier, and from a noise multiplier back to epsilon."""

from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Population

# Public constants: 14 people with about 36 windows each, 30 % of them stress.
people = Population(subjects=14, windows_per_subject=36, stress_share=0.3)
delta = 1e-5

# One noised sum over all people, such as the query of `class_means`, within epsilon 1 per person.
budget = Budget(epsilon=1.0, delta=delta, unit="subject", population=people)
n = people.records("subject")
query = accounting.calibrate(budget, name="query", n=n, q=1.0, capacity=n, steps=1, clip_norm=1.0)
print(f"one query: noise multiplier {query.noise_multiplier:.4f}")

# 200 steps of DP-SGD for single windows. Each step includes a window with sampling rate q = 32/504; a smaller
# q would need less noise. `capacity` is the largest number of windows in a step.
budget = Budget(epsilon=10.0, delta=delta, unit="window", population=people)
n = people.records("window")
steps = accounting.calibrate(budget, name="network", n=n, q=32 / n, capacity=n, steps=200, clip_norm=1.0)
print(f"200 steps: noise multiplier {steps.noise_multiplier:.4f}")

# The same mechanism, accounted in three ways: by privacy loss distributions, as in the ledger; by Renyi
# differential privacy, which is looser; and without amplification by sampling.
print(f"epsilon {accounting.epsilon_pld([steps], delta):.3f} by privacy loss distributions")
print(f"epsilon {accounting.epsilon_rdp([steps], delta):.3f} by Renyi differential privacy")
print(f"epsilon {accounting.epsilon_unamplified([steps], delta):.1f} if each step took all windows")

# Two such trainings on the same people compose: together they spend more than one.
print(f"epsilon {accounting.epsilon_pld([steps, steps], delta):.3f} for two trainings on the same windows")
