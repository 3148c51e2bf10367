//! What must hold for any text of policies, schemas and SQL: the bodies of the fuzz targets (`fuzz/`). A broken promise
//! panics.

mod policy_load;
mod sql_facts;

pub use policy_load::policy_load;
pub use sql_facts::sql_facts;
