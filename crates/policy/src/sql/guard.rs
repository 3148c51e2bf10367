//! What is looked at before SQL is parsed: that the text cannot exhaust the parser, and that nothing in it is read
//! differently by the parser here and the database there.

use super::dialect::Dialect;
use portunus_core::limits;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

/// The tokens of a text that is safe to parse, without what stands between them.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Option<Vec<TokenWithSpan>> {
    if text.len() > limits::SQL_BYTES || has_doubtful_characters(text) || is_doubtful_text(text, dialect) {
        return None;
    }
    // Room for one token in three bytes.
    let mut tokens = Vec::with_capacity(text.len() / 3);
    Tokenizer::new(dialect.parser(), text).tokenize_with_location_into_buf(&mut tokens).ok()?;
    if tokens.iter().any(|token| is_doubtful(&token.token, dialect)) {
        return None;
    }
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    if dialect == Dialect::Sqlite {
        forget_hints(&mut tokens);
    }
    nests_little(&tokens).then_some(tokens)
}

/// Takes out `MATERIALIZED` and `NOT MATERIALIZED` between `AS` and a parenthesis, which mean nothing for the facts and
/// which the parser knows in PostgreSQL only.
fn forget_hints(tokens: &mut Vec<TokenWithSpan>) {
    let is = |token: &TokenWithSpan, keyword| match &token.token {
        Token::Word(word) => word.quote_style.is_none() && word.keyword == keyword,
        _ => false,
    };
    if !tokens.iter().any(|token| is(token, Keyword::MATERIALIZED)) {
        return;
    }
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens.drain(..) {
        if token.token == Token::LParen && kept.last().is_some_and(|last| is(last, Keyword::MATERIALIZED)) {
            let not = kept.iter().rev().nth(1).is_some_and(|before| is(before, Keyword::NOT));
            let hint = 1 + usize::from(not);
            if kept.iter().rev().nth(hint).is_some_and(|before| is(before, Keyword::AS)) {
                kept.truncate(kept.len() - hint);
            }
        }
        kept.push(token);
    }
    *tokens = kept;
}

/// Characters that one reader takes for the end of a comment or for space and another does not. A lone carriage return
/// ends a comment in PostgreSQL but not in SQLite; NUL ends the whole text for some; Unicode space is part of a name in
/// SQLite.
fn has_doubtful_characters(text: &str) -> bool {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return false;
    }
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let doubtful = match c {
            '\r' => characters.peek() != Some(&'\n'),
            '\n' | '\t' | ' '..='~' => false,
            c => c.is_control() || c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}'),
        };
        if doubtful {
            return true;
        }
    }
    false
}

/// Sequences whose meaning depends on settings of the database, or on its version.
fn is_doubtful_text(text: &str, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Sqlite => false,
        // With standard_conforming_strings off, a backslash before a quote keeps the string open. `U&"…"` is a name
        // with escapes, which the parser here takes for an operator.
        Dialect::Postgres => text.contains("\\'") || text.contains("&\""),
        // Comments that are executed, or change settings; strings whose end depends on NO_BACKSLASH_ESCAPES.
        _ => ["/*!", "/*M!", "/*+", "\\"].iter().any(|sign| text.contains(sign)),
    }
}

/// Literals and comments whose end is found by rules that differ between databases.
fn is_doubtful(token: &Token, dialect: Dialect) -> bool {
    match token {
        Token::DollarQuotedString(_)
        | Token::UnicodeStringLiteral(_)
        | Token::TripleSingleQuotedString(_)
        | Token::TripleDoubleQuotedString(_)
        | Token::QuoteDelimitedStringLiteral(_)
        | Token::NationalQuoteDelimitedStringLiteral(_)
        | Token::Char(_)
        | Token::SingleQuotedRawStringLiteral(_)
        | Token::DoubleQuotedRawStringLiteral(_)
        | Token::DoubleQuotedByteStringLiteral(_) => dialect.is_known(),
        // `n'x'` is a column with an alias in SQLite, `e'x'` in MySQL too.
        Token::NationalStringLiteral(_) | Token::SingleQuotedByteStringLiteral(_) => {
            dialect == Dialect::Sqlite
        }
        Token::EscapedStringLiteral(_) => matches!(dialect, Dialect::Sqlite | Dialect::MySql),
        // In MySQL, two dashes begin a comment only before a space.
        Token::Whitespace(Whitespace::SingleLineComment { comment, prefix }) => {
            dialect == Dialect::MySql && prefix == "--" && !comment.starts_with([' ', '\t', '\r', '\n'])
        }
        _ => false,
    }
}

/// Whether the syntax tree stays shallow. Everything but names, literals and separators can make it one deeper.
fn nests_little(tokens: &[TokenWithSpan]) -> bool {
    let (mut open, mut nesting) = (0_usize, 0_usize);
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => open += 1,
            Token::RParen | Token::RBracket | Token::RBrace => open = open.saturating_sub(1),
            Token::Word(word) if word.keyword == Keyword::CASE => open += 1,
            Token::Word(word) if word.keyword == Keyword::END => open = open.saturating_sub(1),
            Token::Word(word) if word.keyword == Keyword::NoKeyword => {}
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Comma
            | Token::Period
            | Token::SemiColon => {}
            _ => nesting += 1,
        }
        if open > limits::SQL_DEPTH || nesting > limits::SQL_NESTING_TOKENS {
            return false;
        }
    }
    true
}

/// Whether MySQL could read the text differently from what SQLite and PostgreSQL agree on: comments after `#`, `--`
/// that is no comment, backslash escapes, quotes.
pub(super) fn could_be_mysql(text: &str) -> bool {
    let mut after_dashes = text.split("--").skip(1);
    text.contains("/*!")
        || text.contains("/*M!")
        || text.contains("/*+")
        || text.contains(['#', '\\', '`'])
        || after_dashes.any(|rest| !rest.starts_with([' ', '\t', '\r', '\n']))
}
