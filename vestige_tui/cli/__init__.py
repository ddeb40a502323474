"""Commands of the shell: one module a family, registered in ``program``."""
