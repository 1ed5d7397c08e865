# The workflow lives in workflow/Snakefile; an include alone would not make its first rule the default.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
