//! portunus-store
