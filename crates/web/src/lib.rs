//! portunus-web
