//! The moving parts, wired.
