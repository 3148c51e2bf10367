//! A pack as files: what the edge composed, with the records fetched piece by piece.

use super::{EVENTS, HASHES, MANIFEST, Manifest, PROOF, Pack, RECORDS, beside};
use crate::admin::AdminClient;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes the pack into a directory that it makes, for this user only.
///
/// # Errors
/// Says what could not be read or written.
pub(crate) async fn write(client: &AdminClient, pack: &Pack, dir: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", dir.display());
    let manifest: Manifest = serde_json::from_str(&pack.manifest).map_err(|error| error.to_string())?;
    DirBuilder::new().mode(0o700).create(dir).map_err(failed)?;
    for (name, text) in &pack.documents {
        if !manifest.files.contains_key(name) {
            return Err(format!("the edge gave a file that its manifest does not name: {name}"));
        }
        create(dir, name).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    }
    let file = |name| create(dir, name).map(BufWriter::new).map_err(failed);
    let (mut records, mut hashes, mut events) = (file(RECORDS)?, file(HASHES)?, file(EVENTS)?);
    let (mut next, end) = manifest.records;
    while next < end {
        let page = client.get_text(&format!("/evidence/records?first={next}&end={end}")).await;
        let page = page.map_err(|error| error.to_string())?;
        if page.is_empty() {
            return Err(format!("the edge has no record {next}; run `portunus audit verify`"));
        }
        records.write_all(page.as_bytes()).map_err(failed)?;
        for line in page.lines() {
            let (hash, event) = beside(line.as_bytes(), &manifest.version);
            hashes.write_all(hash.as_bytes()).map_err(failed)?;
            events.write_all(event.unwrap_or_default().as_bytes()).map_err(failed)?;
            next += 1;
        }
    }
    for mut file in [records, hashes, events] {
        file.flush().map_err(failed)?;
    }
    for (name, text) in [(PROOF, &pack.proof), (MANIFEST, &pack.manifest)] {
        create(dir, name).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    }
    Ok(())
}

fn create(dir: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(name))
}
