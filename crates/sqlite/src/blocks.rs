//! In which orders the instructions of a program can follow each other: stretches that are always run from their first
//! instruction on, and which of them can come after which. What is here can be too much, never too little.

use crate::opcodes;
use crate::program::Step;
use std::collections::{BTreeMap, BTreeSet};

/// A stretch of instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) from: usize,
    /// The first instruction that is not part of it any more.
    pub(crate) to: usize,
    /// Which blocks can follow.
    pub(crate) next: Vec<usize>,
}

/// Where control can come back to by way of a register.
#[derive(Debug, Default)]
struct Returns {
    /// After a Gosub, and what Integer put there.
    subroutine: BTreeSet<usize>,
    /// After a Yield, and where coroutines begin and end.
    coroutine: BTreeSet<usize>,
    /// Where a Yield goes on when its coroutine has ended.
    ended: BTreeSet<usize>,
}

/// Cuts a program into blocks; `None` when control goes through a register that this knows nothing about.
pub(crate) fn cut(steps: &[Step]) -> Option<Vec<Block>> {
    let returns = returns(steps)?;
    let successors: Vec<BTreeSet<usize>> =
        steps.iter().enumerate().map(|(at, step)| successors(at, step, &returns)).collect();
    let mut leaders = BTreeSet::from([0]);
    for (at, targets) in successors.iter().enumerate() {
        if targets.len() != 1 || !targets.contains(&(at + 1)) {
            leaders.insert(at + 1);
            leaders.extend(targets);
        }
    }
    leaders.retain(|leader| *leader < steps.len());
    let starts: Vec<usize> = leaders.iter().copied().collect();
    let number: BTreeMap<usize, usize> = starts.iter().enumerate().map(|(block, at)| (*at, block)).collect();
    let ends = starts.iter().skip(1).copied().chain([steps.len()]);
    let block = |(from, to): (usize, usize)| {
        let last = successors.get(to.checked_sub(1)?)?;
        // A target outside of the program is none.
        let next = last.iter().filter_map(|target| number.get(target).copied()).collect();
        Some(Block { from, to, next })
    };
    starts.iter().copied().zip(ends).map(block).collect()
}

fn returns(steps: &[Step]) -> Option<BTreeMap<i64, Returns>> {
    let mut returns: BTreeMap<i64, Returns> = BTreeMap::new();
    for step in steps {
        if matches!(step.opcode.as_str(), "Return" | "Yield" | "EndCoroutine") {
            returns.entry(step.p1).or_default();
        }
    }
    for (at, step) in steps.iter().enumerate() {
        let address = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
        match step.opcode.as_str() {
            "Gosub" => {
                returns.entry(step.p1).or_default().subroutine.insert(at + 1);
            }
            "Yield" => {
                let known = returns.entry(step.p1).or_default();
                known.coroutine.insert(at + 1);
                known.ended.insert(address(step.p2));
            }
            "InitCoroutine" => {
                returns.entry(step.p1).or_default().coroutine.insert(address(step.p3));
            }
            "Integer" => {
                if let Some(known) = returns.get_mut(&step.p2) {
                    let target = address(step.p1);
                    known.subroutine.extend([target, target.saturating_add(1)]);
                }
            }
            // A coroutine that has ended ends again when it is asked once more.
            "EndCoroutine" => {
                returns.entry(step.p1).or_default().coroutine.insert(at);
            }
            "Null" | "BeginSubrtn" | "Return" | "ReleaseReg" => {}
            _ if may_write(step)
                .is_some_and(|registers| registers.iter().all(|r| !returns.contains_key(r))) => {}
            _ => return None,
        }
    }
    Some(returns)
}

/// Registers that an instruction may write, as far as they could be taken for return addresses; `None`: unknown.
fn may_write(step: &Step) -> Option<Vec<i64>> {
    Some(match step.opcode.as_str() {
        "Column" | "MakeRecord" => vec![step.p3],
        "SorterData" | "RowData" | "SCopy" => vec![step.p2],
        "Copy" => (step.p2..=step.p2.saturating_add(step.p3.clamp(0, MOST_REGISTERS))).collect(),
        "Move" => (step.p2..step.p2.saturating_add(step.p3.clamp(0, MOST_REGISTERS))).collect(),
        "Insert" | "IdxInsert" | "SorterInsert" | "SorterCompare" | "ResultRow" | "Affinity"
        | "RealAffinity" | "ClrSubtype" | "IsType" => Vec::new(),
        opcode => {
            let written = opcodes::uses(opcode)?.iter().filter_map(|one| match one {
                opcodes::Use::Writes(operand) | opcodes::Use::Nulls(operand) => Some(step.operand(*operand)),
                _ => None,
            });
            written.collect()
        }
    })
}

/// Registers in one run, at most: columns of a result or a table.
pub(crate) const MOST_REGISTERS: i64 = 4_000;

fn successors(at: usize, step: &Step, returns: &BTreeMap<i64, Returns>) -> BTreeSet<usize> {
    let mut next = BTreeSet::new();
    let opcode = step.opcode.as_str();
    if !opcodes::ends(opcode) {
        next.insert(at + 1);
    }
    // These may pass over the instruction that follows.
    if opcode.starts_with("Seek") {
        next.insert(at + 2);
    }
    let address = |value: i64| usize::try_from(value).ok().filter(|target| *target > 0);
    if opcodes::jumps(opcode) {
        next.extend(address(step.p2));
    }
    if opcode == "Jump" {
        next.extend([step.p1, step.p3].into_iter().filter_map(address));
    }
    // It begins a coroutine that stands right behind it, or elsewhere.
    if opcode == "InitCoroutine" && step.p2 != 0 {
        next.remove(&(at + 1));
    }
    match (opcode, returns.get(&step.p1)) {
        ("Return", Some(known)) => {
            if step.p3 == 0 {
                next.remove(&(at + 1));
            }
            next.extend(&known.subroutine);
            next.extend(&known.coroutine);
        }
        // It goes to where the other side is, never straight on; where that has ended, by way of EndCoroutine.
        ("Yield", Some(known)) => {
            next = known.coroutine.union(&known.subroutine).copied().collect();
            next.remove(&(at + 1));
        }
        ("EndCoroutine", Some(known)) => next.extend(&known.ended),
        _ => {}
    }
    next
}
