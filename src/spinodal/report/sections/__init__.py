"""One file per section: a protocol's record becomes text, tables and figures."""
