//! portunus-mcp
