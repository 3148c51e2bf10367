//! Tables and documents for auditors. None holds a secret: identities have none by then.

mod csv;
mod cyclonedx;
mod ocsf;

pub use csv::{findings as findings_csv, identities as identities_csv};
pub use cyclonedx::cyclonedx;
pub use ocsf::{ocsf, ocsf_identity};
