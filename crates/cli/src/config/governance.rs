//! `governance:`: how old secrets may become, and when an identity is stale.

use super::{duration, file};
use portunus_core::id::GroupName;
use portunus_governance::findings::Thresholds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How identities that are no people are governed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GovernanceFile {
    /// A credential whose secret is older is warned of, such as `60d`; default: 90d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_age: Option<String>,
    /// Calls with a credential whose secret is older are refused, unless there is a waiver; default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// An identity that nobody used for so long is stale; default: 90d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
    /// The group of which two allow what somebody asks for in an emergency, at `/emergencies`; default: nothing can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub emergency_approvers: Option<GroupName>,
}

/// Checks it.
pub(super) fn read(file: Option<&file::GovernanceFile>) -> Result<Thresholds, String> {
    let mut thresholds = Thresholds::default();
    let Some(file) = file else { return Ok(thresholds) };
    if let Some(text) = &file.stale {
        thresholds.stale = duration(text)?;
    }
    if let Some(text) = &file.max_age {
        let most = duration(text)?;
        thresholds.block_age = Some(most);
        thresholds.warn_age = thresholds.warn_age.min(most.mul_f32(0.75));
    }
    if let Some(text) = &file.warn_age {
        thresholds.warn_age = duration(text)?;
    }
    if thresholds.block_age.is_some_and(|most| thresholds.warn_age > most) {
        return Err(String::from("`warn_age` must not be longer than `max_age`"));
    }
    Ok(thresholds)
}
