//! portunus-oauth
