//! portunus-policy
