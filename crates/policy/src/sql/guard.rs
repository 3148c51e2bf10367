//! What is looked at before SQL is parsed: that the text cannot exhaust the parser, and that nothing in it is read
//! differently by the parser here and the database there.

use portunus_core::limits;
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

/// The tokens of a text that is safe to parse.
pub(super) fn tokens(text: &str, dialect: &dyn Dialect) -> Option<Vec<Token>> {
    if text.len() > limits::SQL_BYTES || has_doubtful_characters(text) {
        return None;
    }
    let tokens = Tokenizer::new(dialect, text).tokenize().ok()?;
    (!tokens.iter().any(is_doubtful) && nests_little(&tokens)).then_some(tokens)
}

/// Characters that one reader takes for the end of a comment or for space and another does not. A lone carriage return
/// ends a comment in PostgreSQL but not in SQLite; NUL ends the whole text for some; Unicode space is part of a name in
/// SQLite.
fn has_doubtful_characters(text: &str) -> bool {
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

/// Kinds of literals whose end is found by rules that differ between databases.
fn is_doubtful(token: &Token) -> bool {
    matches!(
        token,
        Token::DollarQuotedString(_)
            | Token::UnicodeStringLiteral(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::Char(_)
    )
}

/// Whether the syntax tree stays shallow. Everything but names, literals and separators can make it one deeper.
fn nests_little(tokens: &[Token]) -> bool {
    let (mut open, mut nesting) = (0_usize, 0_usize);
    for token in tokens {
        match token {
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
            | Token::SemiColon
            | Token::Whitespace(_) => {}
            _ => nesting += 1,
        }
        if open > limits::SQL_DEPTH || nesting > limits::SQL_NESTING_TOKENS {
            return false;
        }
    }
    true
}

/// Whether MySQL could read the text differently: executable comments, comments after `#`, `--` that is no comment,
/// backslash escapes, quotes.
pub(super) fn could_be_mysql(text: &str) -> bool {
    let mut after_dashes = text.split("--").skip(1);
    text.contains("/*!")
        || text.contains(['#', '\\', '`'])
        || after_dashes.any(|rest| !rest.starts_with([' ', '\t', '\r', '\n']))
}
