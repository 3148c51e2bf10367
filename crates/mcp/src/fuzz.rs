//! What must hold for any bytes: the bodies of the fuzz targets (`fuzz/`) and of the property tests. A broken promise panics.

mod envelope;
mod json_scan;
mod sse;

pub use envelope::envelope;
pub use json_scan::json_scan;
pub use sse::sse;

/// Runs everything that reads foreign bytes over `data`.
///
/// # Panics
/// When a promise is broken.
pub fn any_bytes(data: &[u8]) {
    json_scan(data);
    envelope(data);
    sse(data);
}
