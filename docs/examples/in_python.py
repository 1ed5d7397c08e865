"""From recordings to a private detector in Python: what it scores, what it spends, and what it may claim."""

import pulseveil as pv

# Twelve simulated people; eight train. For recordings of your own: load_cohort("empatica", "recordings",
# labels="labels.csv").
people = pv.load_cohort("simulated", subjects=12)
training, others = pv.cut_windows(people[:8]), pv.cut_windows(people[8:])

# Private people: one noised query over the eight people, within epsilon 10 for each whole person.
generator = pv.fit("posterior", training, epsilon=10)
synthetic = pv.sample(generator, subjects=20)

# Whatever learns from private people is as private as they are, and spends nothing more.
detector = pv.fit("logistic", synthetic)
scores = pv.score(detector, others)
right = scores["predicted"] == scores["stress"]
print(right.groupby(scores["subject"]).mean().round(2))

# A second private model of the same people spends their budget once more.
second = pv.fit("class_means", training, epsilon=1)
spend = pv.spent(generator, detector, second)
print(spend.round(2))

# A model without a budget says so, and is saved only on demand.
print(pv.statement(pv.fit("moments", training)))
print(pv.statement(detector)[:300])
