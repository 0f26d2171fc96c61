//! Seen from a terminal: one file per command.
