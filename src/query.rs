//! `AuthDjangoQuery`: a SELECT of the administrator's own, with named parameters that are bound,
//! never pasted.

#![forbid(unsafe_code)]

/// A query, cut at its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pieces: Vec<Owned>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Text(String),
    Parameter(String),
}

/// A part of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// SQL, as it was written.
    Text(&'a str),
    /// The name of a parameter.
    Parameter(&'a str),
}

/// What the parameters of a query stand for; empty where there is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// `:user_id`
    pub user_id: &'a str,
    /// `:username`
    pub username: &'a str,
    /// `:realm`, of Digest
    pub realm: &'a str,
    /// `:word1`, `:word2` …: the words of the Require line behind the query's name
    pub words: &'a [String],
}

impl<'a> Values<'a> {
    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> &'a str {
        match name {
            "user_id" => self.user_id,
            "username" => self.username,
            "realm" => self.realm,
            name => number(name)
                .and_then(|n| self.words.get(n - 1))
                .map(String::as_str)
                .unwrap_or_default(),
        }
    }
}

/// The n of `wordN`.
fn number(name: &str) -> Option<usize> {
    name.strip_prefix("word").filter(|n| !n.starts_with('0')).and_then(|n| n.parse().ok())
}

impl Query {
    /// Reads a SELECT.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`.
    pub fn parse(sql: &str) -> Result<Self, String> {
        let sql = sql.trim();
        let first = sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if !["select", "with", "values"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return Err("the query must be one SELECT".into());
        }
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = sql;
        while let Some(c) = rest.chars().next() {
            let length = match c {
                '\'' | '"' | '`' => quoted(rest, c)?,
                '-' if rest.starts_with("--") => {
                    return Err("the query must hold no comment".into());
                }
                '/' if rest.starts_with("/*") => {
                    return Err("the query must hold no comment".into());
                }
                ';' => return Err("the query must be one SELECT, without a semicolon".into()),
                // A cast of PostgreSQL's.
                ':' if rest.starts_with("::") => 2,
                ':' => {
                    let name: String = rest
                        .chars()
                        .skip(1)
                        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                        .collect();
                    if !(["user_id", "username", "realm"].contains(&name.as_str())
                        || number(&name).is_some())
                    {
                        return Err(format!(
                            "unknown parameter :{name}: the parameters are :user_id, :username, \
                             :realm (Digest) and :word1, :word2 … (the words of the Require line)"
                        ));
                    }
                    pieces.push(Owned::Text(std::mem::take(&mut text)));
                    rest = rest.get(name.len() + 1..).unwrap_or_default();
                    pieces.push(Owned::Parameter(name));
                    continue;
                }
                '?' | '$' | '%' if placeholder(rest) => {
                    return Err(format!(
                        "the query must name its parameters, as in :user_id, not \"{c}\""
                    ));
                }
                c => c.len_utf8(),
            };
            let (head, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
            text.push_str(head);
            rest = tail;
        }
        pieces.push(Owned::Text(text));
        Ok(Self { pieces })
    }

    /// The query in its order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.pieces.iter().map(|piece| match piece {
            Owned::Text(text) => Piece::Text(text),
            Owned::Parameter(name) => Piece::Parameter(name),
        })
    }

    /// Whether it uses the parameter of this name.
    pub fn takes(&self, parameter: &str) -> bool {
        self.pieces().any(|piece| piece == Piece::Parameter(parameter))
    }

    /// Whether it can stand in for the user table: it finds a user by the name.
    ///
    /// # Errors
    /// The reason and the remedy.
    pub fn check_for_users(&self) -> Result<(), String> {
        if !self.takes("username") {
            return Err("a query of users must use :username: without it, every name is the same \
                        user's"
                .into());
        }
        match self.pieces().find(|piece| matches!(piece, Piece::Parameter(p) if *p != "username")) {
            Some(Piece::Parameter(name)) => {
                Err(format!("a query of users has no :{name}: it can use :username alone"))
            }
            _ => Ok(()),
        }
    }

    /// How many words of the Require line it needs.
    pub fn words(&self) -> usize {
        let numbers = self.pieces().filter_map(|piece| match piece {
            Piece::Parameter(name) => number(name),
            Piece::Text(_) => None,
        });
        numbers.max().unwrap_or(0)
    }
}

/// Whether `name` can be the name of a query.
///
/// # Errors
/// The reason and the remedy.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!("\"{name}\" is not a name: write it in a-z, 0-9, - and _"));
    }
    Ok(())
}

/// The length of a text or name in quotes, which are doubled inside.
fn quoted(rest: &str, quote: char) -> Result<usize, String> {
    match rest.char_indices().skip(1).find(|(_, c)| *c == quote) {
        Some((end, _)) => Ok(end + 1),
        None => Err(format!("the query lacks a closing {quote}")),
    }
}

/// Whether this is a placeholder of some database: `?`, `$1` or `%s`.
fn placeholder(rest: &str) -> bool {
    let next = rest.chars().nth(1);
    match rest.chars().next() {
        Some('?') => next.is_none_or(|c| !"|&-".contains(c)),
        Some('$') => next.is_some_and(|c| c.is_ascii_digit() || c == '$'),
        _ => next == Some('s') && !rest.chars().nth(2).is_some_and(char::is_alphanumeric),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_outside_of_quotes() {
        let query = Query::parse(
            "SELECT ':user_id', \":realm\", a::text FROM t WHERE id = :user_id AND p = :word12",
        )
        .unwrap();
        let found: Vec<_> = query
            .pieces()
            .filter_map(|piece| match piece {
                Piece::Parameter(name) => Some(name),
                Piece::Text(_) => None,
            })
            .collect();
        assert_eq!(found, ["user_id", "word12"]);
        assert_eq!(query.words(), 12);
        let text: String = query
            .pieces()
            .map(|piece| match piece {
                Piece::Text(text) => text.to_owned(),
                Piece::Parameter(name) => format!(":{name}"),
            })
            .collect();
        assert!(text.ends_with("a::text FROM t WHERE id = :user_id AND p = :word12"), "{text}");
    }

    #[test]
    fn a_query_of_users_goes_by_the_name() {
        for (sql, reason) in [
            ("SELECT * FROM people", "must use :username"),
            ("SELECT * FROM people WHERE n = :username AND r = :realm", "has no :realm"),
            ("SELECT * FROM people WHERE n IN (:word1, :username)", "has no :word1"),
        ] {
            assert!(Query::parse(sql).unwrap().check_for_users().unwrap_err().contains(reason));
        }
        let query = Query::parse("SELECT * FROM people WHERE n = :username").unwrap();
        assert_eq!(query.check_for_users(), Ok(()));
    }

    #[test]
    fn values_are_what_their_names_say() {
        let words = ["a".to_owned(), "b".to_owned()];
        let values = Values { user_id: "1", username: "u", realm: "r", words: &words };
        let all: Vec<_> = ["user_id", "username", "realm", "word1", "word2", "word3"]
            .map(|name| values.get(name))
            .into();
        assert_eq!(all, ["1", "u", "r", "a", "b", ""]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (sql, reason) in [
            ("", "one SELECT"),
            ("DELETE FROM auth_user", "one SELECT"),
            ("SELECT 1; DROP TABLE x", "semicolon"),
            ("SELECT 1 -- all", "comment"),
            ("SELECT 1 /* all */", "comment"),
            ("SELECT 'x", "closing '"),
            ("SELECT :user", "unknown parameter :user"),
            ("SELECT :word0", "unknown parameter"),
            ("SELECT : x", "unknown parameter :"),
            ("SELECT ?", "name its parameters"),
            ("SELECT $1", "name its parameters"),
            ("SELECT $$x$$", "name its parameters"),
            ("SELECT %s", "name its parameters"),
        ] {
            let error = Query::parse(sql).unwrap_err();
            assert!(error.contains(reason), "{sql}: {error}");
        }
        assert!(Query::parse("SELECT 1 WHERE 'a' LIKE '%s' AND x % 2 = 0").is_ok());
    }
}
