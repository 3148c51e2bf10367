//! portunus-sqlite
