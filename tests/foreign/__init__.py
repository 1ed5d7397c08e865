"""Checks against other libraries, which `make foreign` installs beside the locked ones."""
