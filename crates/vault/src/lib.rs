//! portunus-vault
