//! What SQLite's virtual machine does with registers, as far as it matters to who follows a value through a program
//! (<https://sqlite.org/opcode.html>). An instruction that is not here is unknown and stops the search for how a value
//! flows.

/// What an instruction does with its registers. A number is the operand that names the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Reads one.
    Reads(u8),
    /// Reads as many as P3 says.
    ReadsByP3(u8),
    /// Reads as many as P4 says, one at least.
    ReadsByP4(u8),
    /// Reads as many as P5 says.
    ReadsByP5(u8),
    /// Reads the arguments of a function, as many as the most that a function may have.
    ReadsArguments(u8),
    /// Puts a value there that does not come from a column.
    Writes(u8),
    /// Puts NULL there.
    Nulls(u8),
}

/// What an instruction does with registers; `None`: it is unknown. Those that move values from registers and cursors
/// to others are not here either: [`crate::flow`] knows them one by one.
pub(crate) fn uses(opcode: &str) -> Option<&'static [Use]> {
    use Use::*;
    Some(match opcode {
        "Init" | "Goto" | "Return" | "EndCoroutine" | "Yield" | "Once" | "Jump" | "ElseEq"
        | "Transaction" | "Noop" | "Explain" | "Trace" | "CursorHint" | "ColumnsUsed" | "Abortable"
        | "ResetCount" | "TableLock" | "Expire" | "CursorLock" | "CursorUnlock" | "FinishSeek"
        | "DeferredSeek" | "SeekScan" | "SeekHit" | "SeekEnd" | "ResetSorter" | "NullRow" | "Permutation"
        | "Rewind" | "Last" | "Sort" | "SorterSort" | "SorterNext" | "Next" | "Prev" | "IfEmpty"
        | "IfSizeBetween" | "SequenceTest" | "Close" | "Delete" | "VOpen" | "VNext" | "ReleaseReg"
        | "OpenRead" | "ReopenIdx" | "SorterOpen" | "OpenPseudo" | "OpenDup" | "OpenAutoindex" | "Halt"
        | "Clear" => &[],
        "Gosub" | "InitCoroutine" | "CollSeq" => &[Writes(1)],
        "HaltIfNull" => &[Reads(3)],
        "OpenEphemeral" => &[Writes(3)],
        "BeginSubrtn" => &[Nulls(2)],
        "IfNullRow" => &[Nulls(3)],
        "SoftNull" => &[Nulls(1)],
        "ReadCookie" | "Integer" | "Int64" | "Real" | "String" | "String8" | "Blob" | "Variable"
        | "Rowid" | "IdxRowid" | "Count" | "Sequence" => &[Writes(2)],
        "VFilter" => &[ReadsArguments(3)],
        "VColumn" => &[Writes(3)],
        "MustBeInt" | "If" | "IfNot" | "IsNull" | "NotNull" | "IfPos" | "IfNotZero" | "DecrJumpZero"
        | "AddImm" | "Cast" | "AggFinal" => &[Reads(1)],
        "Not" | "BitNot" | "IntCopy" | "IsTrue" | "GetSubtype" => &[Reads(1), Writes(2)],
        "SetSubtype" => &[Reads(1), Reads(2)],
        "SeekLT" | "SeekLE" | "SeekGE" | "SeekGT" | "IfNoHope" | "NoConflict" | "NotFound" | "Found"
        | "IdxLE" | "IdxGT" | "IdxLT" | "IdxGE" | "FilterAdd" | "Filter" => &[ReadsByP4(3)],
        "SeekRowid" | "NotExists" => &[Reads(3)],
        "RowSetRead" => &[Reads(1), Writes(3)],
        "RowSetTest" => &[Reads(1), Reads(3)],
        "RowSetAdd" => &[Reads(1), Reads(2)],
        "Ne" | "Eq" | "Gt" | "Le" | "Lt" | "Ge" => &[Reads(1), Reads(3)],
        "PureFunc" | "Function" => &[ReadsArguments(2), Writes(3)],
        "AggStep" | "AggStep1" | "AggInverse" => &[ReadsByP5(2), Reads(3)],
        "AggValue" => &[Reads(1), Writes(3)],
        "Compare" => &[ReadsByP3(1), ReadsByP3(2)],
        "ZeroOrNull" => &[Reads(1), Reads(3), Writes(2)],
        "And" | "Or" | "BitAnd" | "BitOr" | "ShiftLeft" | "ShiftRight" | "Add" | "Subtract" | "Multiply"
        | "Divide" | "Remainder" | "Concat" => &[Reads(1), Reads(2), Writes(3)],
        "MemMax" => &[Reads(1), Reads(2)],
        "OffsetLimit" => &[Reads(1), Reads(3), Writes(2)],
        "NewRowid" => &[Reads(3), Writes(2)],
        "IdxDelete" => &[ReadsByP5(2)],
        _ => return None,
    })
}

/// Whether it may go on at P2.
pub(crate) fn jumps(opcode: &str) -> bool {
    matches!(
        opcode,
        "VFilter"
            | "Init"
            | "Goto"
            | "Gosub"
            | "InitCoroutine"
            | "Yield"
            | "MustBeInt"
            | "Jump"
            | "Once"
            | "If"
            | "IfNot"
            | "IsType"
            | "IfNullRow"
            | "SeekLT"
            | "SeekLE"
            | "SeekGE"
            | "SeekGT"
            | "IfNoHope"
            | "NoConflict"
            | "NotFound"
            | "Found"
            | "SeekRowid"
            | "NotExists"
            | "Last"
            | "IfSizeBetween"
            | "SorterSort"
            | "Sort"
            | "Rewind"
            | "IfEmpty"
            | "SorterNext"
            | "Prev"
            | "Next"
            | "IdxLE"
            | "IdxGT"
            | "IdxLT"
            | "IdxGE"
            | "RowSetRead"
            | "RowSetTest"
            | "IsNull"
            | "NotNull"
            | "Ne"
            | "Eq"
            | "Gt"
            | "Le"
            | "Lt"
            | "Ge"
            | "ElseEq"
            | "IfPos"
            | "IfNotZero"
            | "DecrJumpZero"
            | "VNext"
            | "Filter"
            | "SequenceTest"
            | "SorterCompare"
            | "SeekScan"
    )
}

/// Whether it never goes on with the next instruction.
pub(crate) fn ends(opcode: &str) -> bool {
    matches!(opcode, "Goto" | "Gosub" | "Halt" | "EndCoroutine" | "Jump")
}

/// Whether it compares the entry under its cursor with as many registers as P4 says (0: with a whole record).
pub(crate) fn compares_entry(opcode: &str) -> bool {
    matches!(
        opcode,
        "SeekLT"
            | "SeekLE"
            | "SeekGE"
            | "SeekGT"
            | "IfNoHope"
            | "NoConflict"
            | "NotFound"
            | "Found"
            | "IdxLE"
            | "IdxGT"
            | "IdxLT"
            | "IdxGE"
            | "IdxDelete"
    )
}

/// Functions whose result is no longer than a date, a number or their longest argument, whatever a caller asks for.
pub(crate) fn is_narrow(function: &str) -> bool {
    matches!(
        function,
        "abs"
            | "avg"
            | "count"
            | "sum"
            | "total"
            | "min"
            | "max"
            | "length"
            | "like"
            | "glob"
            | "octet_length"
            | "round"
            | "sign"
            | "date"
            | "time"
            | "datetime"
            | "julianday"
            | "unixepoch"
            | "strftime"
            | "typeof"
            | "lower"
            | "upper"
            | "trim"
            | "ltrim"
            | "rtrim"
            | "instr"
            | "unicode"
            | "row_number"
            | "rank"
            | "dense_rank"
            | "ntile"
            | "percent_rank"
            | "cume_dist"
            | "floor"
            | "ceil"
            | "trunc"
            | "mod"
            | "random"
    )
}
