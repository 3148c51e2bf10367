//! The control plane driven through its router, as browsers, clients and attackers do.

mod admin;
mod app;
mod authorize;
mod console;
mod flow;
mod safety;
mod sign_in;
