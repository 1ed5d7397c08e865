# The workflow is workflow/Snakefile. An include alone does not make its first rule the default: Snakemake would
# find nothing to be done, with exit code 0.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
