//! How the values of treated columns flow through a compiled program.
//!
//! A treated value may be carried (copied, put into a record, sorted along with a key, handed from a subquery to the
//! one around it) and shown. Everything else that an instruction can do with it would tell of it: comparing, testing for
//! NULL, computing, being part of a key. A statement whose program does any of that is compiled again with the column
//! hidden. Since no instruction looks at a treated value, which ones run, and on what else, does not depend on any: two
//! databases that differ in treated values only give answers that differ in treated cells only.
//!
//! Every way that control could take is followed, and what a cursor holds is all that is ever put there.

use crate::blocks::{self, MOST_REGISTERS};
use crate::catalog::Catalog;
use crate::limits;
use crate::mask::Treated;
use crate::opcodes::{self, Use};
use crate::program::{Program, Step};
use crate::treat::Treatment;
use std::collections::BTreeMap;

/// Columns, as a set of bits: [`crate::mask::MOST_TREATED`] of them.
type Columns = u128;

/// What can be in a register or in a field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cell {
    /// Treated columns that its value may come from.
    columns: Columns,
    /// It may be something else, too. NULL is nothing else: it stays NULL.
    other: bool,
    /// It may be as long as the caller likes.
    wide: bool,
    /// It is the count of a sorted ephemeral table: no two entries have the same.
    counted: bool,
}

const OTHER: Cell = Cell { columns: 0, other: true, wide: false, counted: false };

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Register {
    cell: Cell,
    /// When it holds a record.
    fields: Vec<Cell>,
}

type Registers = BTreeMap<i64, Register>;

/// A column of the answer that is shown treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) treatment: Treatment,
    /// `table.column` that the values come from; of several, for a treatment that does not depend on it, any.
    pub(crate) column: String,
}

/// What would tell of treated values: these columns are to be hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Used(pub(crate) Vec<String>);

/// Finds which columns of the answer show treated values, for an answer of `width` columns.
pub(crate) fn follow(
    program: &Program,
    catalog: &Catalog,
    treated: &[Treated],
    width: usize,
) -> Result<Vec<Option<Shown>>, Used> {
    let mut flow = Flow::new(program, catalog, treated);
    let steps = program.frames.first().map(Vec::as_slice).unwrap_or_default();
    if flow.sources.is_empty() {
        return Ok(vec![None; width]);
    }
    if program.frames.len() != 1 || flow.run(steps).is_none() {
        flow.used = Columns::MAX;
    }
    let shown: Vec<Option<Shown>> = (0..width).map(|at| flow.output(at)).collect();
    if flow.used == 0 { Ok(shown) } else { Err(flow.names()) }
}

/// Where treated columns come in, and what is known of the other cursors.
struct Flow<'a> {
    treated: &'a [Treated],
    /// Cursor and position in its record → columns.
    sources: BTreeMap<(i64, i64), Columns>,
    /// Cursor of an ephemeral index or a sorter → how many fields it is ordered by.
    keys: BTreeMap<i64, usize>,
    /// Second cursor on the same ephemeral table → first.
    same: BTreeMap<i64, i64>,
    /// Cursor on the record in a register → that register.
    pseudo: BTreeMap<i64, Vec<i64>>,
    /// Ephemeral tables and sorters → what their records hold.
    stored: BTreeMap<i64, Vec<Cell>>,
    /// Columns that are used for more than being shown.
    used: Columns,
    outputs: Vec<Cell>,
    /// Grows with everything that is learnt; when it stands still, all is known.
    learnt: usize,
}

impl<'a> Flow<'a> {
    fn new(program: &Program, catalog: &Catalog, treated: &'a [Treated]) -> Self {
        let mut flow = Self {
            treated,
            sources: BTreeMap::new(),
            keys: BTreeMap::new(),
            same: BTreeMap::new(),
            pseudo: BTreeMap::new(),
            stored: BTreeMap::new(),
            used: 0,
            outputs: Vec::new(),
            learnt: 0,
        };
        let mut positions: BTreeMap<i64, Vec<(i64, Columns)>> = BTreeMap::new();
        for (bit, column) in treated.iter().enumerate() {
            let Some(table) = catalog.find(&column.table) else { continue };
            let at = (0_i64..).zip(table.stored()).find(|(_, stored)| stored.name == column.column);
            if let (Some((at, _)), Some(root)) = (at, table.root) {
                positions.entry(root).or_default().push((at, 1 << bit.min(127)));
            }
        }
        for step in program.frames.iter().flatten() {
            for (at, column) in step.opens().and_then(|root| positions.get(&root)).into_iter().flatten() {
                *flow.sources.entry((step.p1, *at)).or_default() |= column;
            }
            match step.opcode.as_str() {
                "OpenEphemeral" | "OpenAutoindex" | "SorterOpen" => {
                    let count = step.p4.strip_prefix("k(").and_then(|text| text.split([',', ')']).next());
                    let key = count.and_then(|count| count.parse::<usize>().ok());
                    let key = key.max(usize::try_from(step.p3).ok().filter(|_| step.opcode == "SorterOpen"));
                    let known = flow.keys.entry(step.p1).or_default();
                    *known = key.unwrap_or(0).max(*known);
                }
                "OpenDup" => {
                    flow.same.insert(step.p1, step.p2);
                }
                "OpenPseudo" => flow.pseudo.entry(step.p1).or_default().push(step.p2),
                _ => {}
            }
        }
        flow
    }

    /// Follows every value until nothing new is learnt. `None`: there is an instruction that is not known, or too much
    /// of it.
    fn run(&mut self, steps: &[Step]) -> Option<()> {
        let blocks = blocks::cut(steps)?;
        let mut entries: Vec<Option<Registers>> = vec![None; blocks.len()];
        *entries.first_mut()? = Some(Registers::new());
        let mut work = limits::FLOW_STEPS;
        loop {
            let before = self.learnt;
            for (at, block) in blocks.iter().enumerate() {
                let Some(mut registers) = entries.get(at).cloned().flatten() else { continue };
                work = work.checked_sub(registers.len())?;
                for step in steps.get(block.from..block.to)? {
                    work = work.checked_sub(1)?;
                    self.step(step, &mut registers)?;
                }
                for next in &block.next {
                    work = work.checked_sub(registers.len())?;
                    self.enter(entries.get_mut(*next)?, &registers);
                }
            }
            if before == self.learnt {
                return Some(());
            }
        }
    }

    fn enter(&mut self, entry: &mut Option<Registers>, from: &Registers) {
        let Some(known) = entry else {
            *entry = Some(from.clone());
            self.learnt += 1;
            return;
        };
        // A register that has not been written yet holds NULL.
        for (number, register) in known.iter_mut() {
            if !from.contains_key(number) && register.cell.counted {
                register.cell.counted = false;
                self.learnt += 1;
            }
        }
        for (number, register) in from {
            let fresh = !known.contains_key(number);
            let old = known.entry(*number).or_default();
            let changed = join(&mut old.cell, register.cell) | join_all(&mut old.fields, &register.fields);
            self.learnt += usize::from(changed || fresh);
        }
    }

    fn step(&mut self, step: &Step, registers: &mut Registers) -> Option<()> {
        let Step { p1, p2, p3, .. } = *step;
        if opcodes::compares_entry(&step.opcode) {
            self.compare_entry(step);
        }
        match step.opcode.as_str() {
            "Column" => {
                let cell = self.field(p1, p2, registers);
                registers.insert(p3, cell.into());
            }
            "Null" | "BeginSubrtn" => {
                for register in p2..=p3.clamp(p2, p2.saturating_add(MOST_REGISTERS)) {
                    registers.insert(register, Register::default());
                }
            }
            "SCopy" => shift(registers, p1, p2, 1),
            "Copy" => shift(registers, p1, p2, p3.saturating_add(1)),
            "Move" => shift(registers, p1, p2, p3),
            "MakeRecord" => self.make_record(step, registers),
            "Insert" => {
                self.read(registers, p3, 1);
                self.store(p1, registers.get(&p2));
            }
            "IdxInsert" | "SorterInsert" => {
                self.check_key(step, registers);
                self.store(p1, registers.get(&p2));
            }
            "SorterData" | "RowData" => {
                self.used |= self.source(p1);
                let fields = self.stored.get(&self.first(p1)).cloned().unwrap_or_default();
                registers.insert(p2, Register { cell: OTHER, fields });
            }
            "SorterCompare" => {
                let count = step.p4.parse().unwrap_or(usize::MAX);
                let key = registers.get(&p3).map(|register| tainted(&register.fields, count));
                self.used |= key.unwrap_or(0) | self.kept(p1, count);
            }
            "ResultRow" => self.show(step, registers),
            "Affinity" | "RealAffinity" | "ClrSubtype" => {}
            "IsType" if p1 >= 0 => self.used |= self.field(p1, p3, registers).columns,
            "IsType" => self.read(registers, p3, 1),
            "Halt" if p1 != 0 => self.read(registers, p3, 1),
            opcode => self.general(opcodes::uses(opcode)?, step, registers),
        }
        Some(())
    }

    fn general(&mut self, uses: &[Use], step: &Step, registers: &mut Registers) {
        let mut wide = false;
        for one in uses {
            match *one {
                Use::Reads(operand) => self.read(registers, step.operand(operand), 1),
                Use::ReadsByP3(operand) => self.read(registers, step.operand(operand), step.p3),
                Use::ReadsByP4(operand) => {
                    self.read(registers, step.operand(operand), step.p4.parse::<i64>().unwrap_or(1).max(1));
                }
                Use::ReadsByP5(operand) => {
                    wide |= is_wide(registers, step.operand(operand), step.p5);
                    self.read(registers, step.operand(operand), step.p5);
                }
                Use::ReadsArguments(operand) => {
                    // Functions of any number of arguments do not say how many there are; the others do.
                    let count = step
                        .p4
                        .rsplit_once('(')
                        .and_then(|(_, rest)| rest.trim_end_matches(')').parse::<i64>().ok());
                    let count = count.filter(|count| *count >= 0).unwrap_or(limits::FUNCTION_ARGUMENTS);
                    wide |= is_wide(registers, step.operand(operand), count);
                    self.read(registers, step.operand(operand), count);
                }
                Use::Writes(operand) => {
                    let mut cell = OTHER;
                    cell.wide = wide || makes_wide(step);
                    cell.counted = step.opcode == "Sequence";
                    registers.insert(step.operand(operand), cell.into());
                }
                Use::Nulls(operand) => {
                    registers.insert(step.operand(operand), Register::default());
                }
            }
        }
        // Aggregates gather in P3 what P2 holds.
        if step.opcode.starts_with("Agg") {
            let at = if step.opcode == "AggFinal" { step.p1 } else { step.p3 };
            let was_wide = is_wide(registers, at, 1);
            let cell = Cell { wide: wide || was_wide || makes_wide(step), ..OTHER };
            registers.insert(at, cell.into());
        }
    }

    /// Something other than carrying or showing is done with these registers.
    fn read(&mut self, registers: &Registers, from: i64, count: i64) {
        let to = from.saturating_add(count.clamp(0, MOST_REGISTERS));
        for (_, register) in registers.range(from..to.max(from)) {
            self.used |= register.cell.columns | tainted(&register.fields, usize::MAX);
        }
    }

    fn make_record(&mut self, step: &Step, registers: &mut Registers) {
        let to = step.p1.saturating_add(step.p2.clamp(0, MOST_REGISTERS));
        let cell = |number| registers.get(&number).map(Register::value).unwrap_or_default();
        let fields: Vec<Cell> = (step.p1..to).map(cell).collect();
        // A record has a greatest length. With another field as long as the caller likes, whether it is reached would
        // tell the length of a treated one.
        if fields.iter().any(|field| field.wide) {
            self.used |= tainted(&fields, usize::MAX);
        }
        registers.insert(step.p3, Register { cell: OTHER, fields });
    }

    fn show(&mut self, step: &Step, registers: &Registers) {
        let to = step.p1.saturating_add(step.p2.clamp(0, MOST_REGISTERS));
        let cells: Vec<Cell> = (step.p1..to)
            .map(|number| registers.get(&number).map(Register::value).unwrap_or_default())
            .collect();
        self.learnt += usize::from(join_all(&mut self.outputs, &cells));
    }

    /// What is put into an index or a sorter must not be ordered by a treated value.
    fn check_key(&mut self, step: &Step, registers: &Registers) {
        let Some(register) = registers.get(&step.p2) else { return };
        let key = self.keys.get(&self.first(step.p1)).copied().unwrap_or(0);
        let ordered = if step.opcode == "SorterInsert" {
            key
        } else if register.fields.get(key).is_some_and(|field| field.counted) {
            key + 1
        } else {
            usize::MAX
        };
        self.used |= tainted(&register.fields, ordered);
    }

    /// An entry is compared with registers: not by a treated field.
    fn compare_entry(&mut self, step: &Step) {
        let is_index = self.keys.get(&self.first(step.p1)).is_some_and(|key| *key > 0);
        if is_index {
            let count = step.p4.parse::<usize>().ok().filter(|count| *count > 0).unwrap_or(usize::MAX);
            self.used |= self.kept(step.p1, count);
        }
    }

    fn store(&mut self, cursor: i64, record: Option<&Register>) {
        let Some(Register { cell, fields }) = record else { return };
        // A record that came out of another one.
        self.used |= cell.columns;
        let first = self.first(cursor);
        self.learnt += usize::from(join_all(self.stored.entry(first).or_default(), fields));
    }

    /// What a field under a cursor can hold.
    fn field(&self, cursor: i64, at: i64, registers: &Registers) -> Cell {
        let position = usize::try_from(at).unwrap_or(usize::MAX);
        let mut found: Option<Cell> = None;
        let mut add = |cell: Cell| match &mut found {
            Some(known) => {
                join(known, cell);
            }
            None => found = Some(cell),
        };
        if let Some(columns) = self.sources.get(&(cursor, at)) {
            add(Cell { columns: *columns, ..Cell::default() });
        }
        for register in self.pseudo.get(&cursor).into_iter().flatten() {
            let Some(record) = registers.get(register) else { continue };
            let mut cell = record.fields.get(position).copied().unwrap_or(OTHER);
            // A record that came out of another one.
            cell.columns |= record.cell.columns;
            add(cell);
        }
        if self.keys.contains_key(&self.first(cursor)) {
            let stored = self.stored.get(&self.first(cursor));
            // What was never put there reads as NULL.
            add(stored.and_then(|fields| fields.get(position)).copied().unwrap_or_default());
        }
        found.unwrap_or(OTHER)
    }

    /// Treated columns of the table that a cursor is on.
    fn source(&self, cursor: i64) -> Columns {
        self.sources.range((cursor, i64::MIN)..=(cursor, i64::MAX)).fold(0, |all, (_, columns)| all | columns)
    }
    /// Treated columns among the first fields of what an ephemeral table holds.
    fn kept(&self, cursor: i64, count: usize) -> Columns {
        self.stored.get(&self.first(cursor)).map_or(0, |fields| tainted(fields, count))
    }
    fn first(&self, cursor: i64) -> i64 {
        let mut cursor = cursor;
        for _ in 0..self.same.len() {
            match self.same.get(&cursor) {
                Some(first) => cursor = *first,
                None => break,
            }
        }
        cursor
    }

    /// How a column of the answer is shown. One that could hold a value that is not treated would tell what such a
    /// value is treated to; one of two treatments could not be shown at all.
    fn output(&mut self, at: usize) -> Option<Shown> {
        let cell = self.outputs.get(at).copied().unwrap_or_default();
        let mut from = self.treated.iter().enumerate().filter(|(bit, _)| cell.columns >> bit & 1 == 1);
        let (_, first) = from.next()?;
        let same =
            from.all(|(_, other)| other.treatment == first.treatment && first.treatment != Treatment::Hash);
        if cell.other || !same {
            self.used |= cell.columns;
        }
        Some(Shown { treatment: first.treatment, column: first.name.clone() })
    }

    fn names(&self) -> Used {
        let used = self.treated.iter().enumerate().filter(|(bit, _)| self.used >> bit & 1 == 1);
        Used(used.map(|(_, column)| column.name.clone()).collect())
    }
}

impl Register {
    /// It as a value. A record that is put into another, or shown, is not looked into again: what is in it is then used.
    fn value(&self) -> Cell {
        let inside = tainted(&self.fields, usize::MAX);
        Cell { columns: self.cell.columns | inside, other: self.cell.other || inside != 0, ..self.cell }
    }
}

impl From<Cell> for Register {
    fn from(cell: Cell) -> Self {
        Self { cell, fields: Vec::new() }
    }
}

/// Adds what a cell can hold to another; whether that is more than was known.
fn join(known: &mut Cell, more: Cell) -> bool {
    let before = *known;
    known.columns |= more.columns;
    known.other |= more.other;
    known.wide |= more.wide;
    known.counted &= more.counted;
    before != *known
}

fn join_all(known: &mut Vec<Cell>, more: &[Cell]) -> bool {
    let mut changed = false;
    for (at, cell) in more.iter().enumerate() {
        match known.get_mut(at) {
            Some(old) => changed |= join(old, *cell),
            None => {
                known.push(*cell);
                changed = true;
            }
        }
    }
    changed
}

fn tainted(fields: &[Cell], count: usize) -> Columns {
    fields.iter().take(count).fold(0, |all, field| all | field.columns)
}

fn is_wide(registers: &Registers, from: i64, count: i64) -> bool {
    let to = from.saturating_add(count.clamp(0, MOST_REGISTERS));
    registers.range(from..to.max(from)).any(|(_, register)| register.cell.wide)
}

/// Whether what an instruction makes can be as long as the caller likes.
fn makes_wide(step: &Step) -> bool {
    match step.opcode.as_str() {
        "String8" | "String" => step.p4.len() > limits::NARROW_BYTES,
        "Variable" | "Blob" | "Concat" | "VColumn" => true,
        "Function" | "PureFunc" | "AggStep" | "AggStep1" | "AggInverse" | "AggValue" | "AggFinal" => {
            let name = step.p4.split('(').next().unwrap_or_default();
            !opcodes::is_narrow(&name.to_ascii_lowercase())
        }
        _ => false,
    }
}

/// Copies `count` registers.
fn shift(registers: &mut Registers, from: i64, to: i64, count: i64) {
    for offset in 0..count.clamp(0, MOST_REGISTERS) {
        let value = registers.get(&from.saturating_add(offset)).cloned().unwrap_or_default();
        registers.insert(to.saturating_add(offset), value);
    }
}
