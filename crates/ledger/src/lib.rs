//! portunus-ledger
