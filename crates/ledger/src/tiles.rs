//! Publishes a ledger in the layout of C2SP `tlog-tiles`, so that monitors and auditors written by others can read it
//! from any static file server: `checkpoint`, `tile/<L>/<N>`, `tile/entries/<N>`.
//!
//! The tiles are made from the file of hashes and the records when they are wanted, not while records are written: they
//! hold nothing new, and would double what is written in the way of a call.

use crate::checkpoint::VerifierKey;
use crate::disk::{Disk, RealDisk, create_dir};
use crate::layout::{CHECKPOINT, Hashes, LineKind, Lines, segments};
use crate::merkle::stored_index;
use std::io;
use std::path::Path;

/// Hashes in a full tile, and entries in a full bundle.
const TILE: u64 = 256;
/// Levels of the tree that one level of tiles spans.
const TILE_LEVELS: u32 = 8;

/// Brings the published log in `to` up to the latest checkpoint of the ledger in `dir`; how many records it then
/// covers. Tiles that were full before are left alone, so each call takes time for what is new only.
///
/// # Errors
/// When a file cannot be read or written, or a checkpoint is not signed by `key`.
pub fn publish(dir: &Path, key: &VerifierKey, to: &Path) -> io::Result<u64> {
    let note = std::fs::read_to_string(dir.join(CHECKPOINT))?;
    let size = key.open(&note).map_err(io::Error::other)?.size;
    let published = match std::fs::read_to_string(to.join(CHECKPOINT)) {
        Ok(note) => key.open(&note).map_err(io::Error::other)?.size,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if published < size {
        publish_hashes(dir, to, published, size)?;
        publish_entries(dir, to, published, size)?;
        RealDisk.replace(&to.join(CHECKPOINT), note.as_bytes())?;
    }
    Ok(size.max(published))
}

fn publish_hashes(dir: &Path, to: &Path, published: u64, size: u64) -> io::Result<()> {
    let mut hashes = Hashes::open(dir)?;
    for tile_level in 0..u64::BITS / TILE_LEVELS {
        let level = tile_level * TILE_LEVELS;
        let (known, count) = (published >> level, size >> level);
        for tile in known / TILE..count.div_ceil(TILE) {
            let width = (count - tile * TILE).min(TILE);
            let mut bytes = Vec::with_capacity(width as usize * 32);
            for index in tile * TILE..tile * TILE + width {
                bytes.extend_from_slice(&hashes.node(stored_index(level, index))?.0);
            }
            write(to, &format!("tile/{tile_level}/{}", tile_path(tile, width)), &bytes)?;
        }
    }
    Ok(())
}

fn publish_entries(dir: &Path, to: &Path, published: u64, size: u64) -> io::Result<()> {
    let mut next = published / TILE * TILE;
    let mut bundle = Vec::new();
    let segments = segments(dir)?;
    let first = segments.iter().rposition(|segment| segment.first <= next).unwrap_or(0);
    for segment in segments.iter().skip(first) {
        let mut lines = Lines::open(&segment.path, 0)?;
        let mut seq = segment.first;
        while next < size && lines.advance()? == Some(LineKind::Whole) {
            if seq == next {
                let length = u16::try_from(lines.line().len()).map_err(io::Error::other)?;
                bundle.extend_from_slice(&length.to_be_bytes());
                bundle.extend_from_slice(lines.line());
                next += 1;
                if next.is_multiple_of(TILE) || next == size {
                    let tile = (next - 1) / TILE;
                    let path = tile_path(tile, next - tile * TILE);
                    write(to, &format!("tile/entries/{path}"), &bundle)?;
                    bundle.clear();
                }
            }
            seq += 1;
        }
    }
    if next < size {
        return Err(io::Error::other(format!("record {next} is missing; run `portunus audit verify`")));
    }
    Ok(())
}

/// `x001/x234/067`, with `.p/W` when it is not full.
fn tile_path(tile: u64, width: u64) -> String {
    let mut path = format!("{:03}", tile % 1000);
    let mut rest = tile / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

fn write(to: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = to.join(name);
    if let Some(parent) = path.parent() {
        create_dir(parent)?;
    }
    RealDisk.replace(&path, bytes)
}
