//! Upstreams that the edge reaches by itself.

pub mod http;
mod pool;
mod shown;
