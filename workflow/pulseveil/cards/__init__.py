"""Cards: what an export is, whence it comes, what protects whom, how good it is, what it is not for."""
