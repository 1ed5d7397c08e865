"""How like real windows synthetic ones are: measures, each with its floor between real people."""
