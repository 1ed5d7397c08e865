"""Running a study on a SLURM cluster: nothing here knows what a study computes."""
