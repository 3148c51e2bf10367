//! The file of hashes against the signed roots.

use super::{Finding, Findings, Signed};
use crate::layout::{HASHES, Hashes};
use crate::merkle::Frontier;
use std::io;
use std::path::{Path, PathBuf};

/// What the file of hashes is worth.
pub(super) struct Evidence {
    pub(super) path: PathBuf,
    /// How many records it holds hashes of, no more than are signed.
    pub(super) size: u64,
    /// Where it may first be wrong; `None`: it is what was signed.
    pub(super) damaged_at: Option<u64>,
}

/// Computes the tree from the hashes and compares its roots with the signed ones.
pub(super) fn check(
    dir: &Path,
    signed: &[Signed],
    findings: &mut Findings,
) -> Result<Evidence, (PathBuf, io::Error)> {
    let path = dir.join(HASHES);
    let wanted = signed.last().map_or(0, |last| last.checkpoint.size);
    let mut hashes = match Hashes::open(dir) {
        Ok(hashes) => hashes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Evidence { path, size: 0, damaged_at: (wanted > 0).then_some(0) });
        }
        Err(error) => return Err((path, error)),
    };
    let size = hashes.size().min(wanted);
    let mut tree = Frontier::default();
    let mut proven = 0;
    let mut broken_node = None;
    let mut contradicted = Vec::new();
    let mut rest = signed.iter().peekable();
    let mut next_node = 0;
    loop {
        while let Some(signed) = rest.next_if(|signed| signed.checkpoint.size == tree.size()) {
            if signed.checkpoint.root == tree.root() {
                proven = tree.size();
            } else {
                contradicted.push(signed);
            }
        }
        if tree.size() == size {
            break;
        }
        let seq = tree.size();
        let mut read = || -> io::Result<_> {
            let node = hashes.node(next_node)?;
            next_node += 1;
            Ok(node)
        };
        let leaf = read().map_err(|error| (path.clone(), error))?;
        let mut failed = Ok(());
        let mut is_leaf = true;
        tree.push(leaf, |computed| match std::mem::take(&mut is_leaf) || failed.is_err() {
            true => {}
            false => match read() {
                Ok(stored) if stored != computed => broken_node = broken_node.or(Some(seq)),
                Ok(_) => {}
                Err(error) => failed = Err(error),
            },
        });
        failed.map_err(|error| (path.clone(), error))?;
    }
    if proven < wanted {
        return Ok(Evidence { path, size, damaged_at: Some(proven) });
    }
    for signed in contradicted {
        let (place, size) = (signed.place.clone(), signed.checkpoint.size);
        findings.add(Finding::Fork { place, size });
    }
    Ok(Evidence { path, size, damaged_at: broken_node })
}
