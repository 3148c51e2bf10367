//! portunus-tunnel
