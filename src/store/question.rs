//! What a database is asked, and what it answers: text, whatever the columns are.

#![forbid(unsafe_code)]

use std::borrow::Cow;

/// One SELECT with its values, which are bound and never pasted.
pub(crate) struct Question<'a> {
    /// In the dialect of the database; every column is text.
    pub(crate) sql: String,
    /// In the order of the placeholders.
    pub(crate) values: Vec<Cow<'a, str>>,
    /// What the first column of every row must be, as proof that the answer is to this question;
    /// the rows that are handed on lack it.
    pub(crate) marker: Option<String>,
}

/// A row of an answer.
pub(crate) type Row = Vec<Option<String>>;

/// The error of an answer that is not to what was asked.
pub(crate) const OTHER_ANSWER: &str = "the answer is not to what was asked";
