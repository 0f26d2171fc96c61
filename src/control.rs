//! The local socket in the data folder: how other commands talk to a running rhaid.
