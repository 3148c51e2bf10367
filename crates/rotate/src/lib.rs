//! Drivers that change secrets at their upstreams, behind the port of [`portunus_vault::rotation`], and the loop that takes
//! rotations forward.
//!
//! | module | holds |
//! |---|---|
//! | [`schedule`] | which rotation is taken forward when; a few at a time, with pauses |
//! | [`postgres`] | two roles that take turns |
//! | [`plugin`] | the contract with plug-ins: one question, one answer, both JSON |
//! | [`exec`] | plug-ins that are programs |
//! | [`webhook`] | plug-ins that are asked over HTTPS |
//! | [`openbao`] | secrets kept in OpenBao or Vault (KV version 2), and leases of their engines |
//! | [`aws`] | access keys of an IAM user in AWS |
//! | [`x509`], [`ssh`] | certificates of Portunus' own authorities |
//! | [`register`] | what those authorities have signed, and which of it is to be refused |
//! | [`probe`] | tries a secret at an MCP server over HTTP |
//! | [`http`] | HTTPS within bounds |

#![forbid(unsafe_code)]

pub mod aws;
pub mod exec;
pub mod http;
pub mod openbao;
pub mod plugin;
pub mod postgres;
pub mod probe;
pub mod register;
pub mod schedule;
pub mod ssh;
pub mod webhook;
pub mod x509;
