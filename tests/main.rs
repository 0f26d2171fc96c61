//! Every test through the front door, in one binary.

mod architecture;
mod config;
mod functions;
