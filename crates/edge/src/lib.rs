//! portunus-edge
