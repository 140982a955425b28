//! The words of a Require line: read, and looked at by their rule, when the line is; expressions
//! among them evaluated for each request.

use super::log::Server;
use super::pool::Pool;
use super::request::Request;
use super::tree::Node;
use super::{bytes, ffi, module, selfcheck, valid_user};
use crate::authz::Rule;
use crate::config::Config;
use crate::error::Error;
use crate::user::Wants;
use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// A directive that is being read.
pub(super) struct Command<'a> {
    raw: &'a ffi::cmd_parms,
    pool: Pool<'a>,
}

impl<'a> Command<'a> {
    /// # Safety
    /// `raw` is what httpd handed to the callback that `'a` is not to outlive.
    pub(super) unsafe fn new(raw: *const ffi::cmd_parms) -> Self {
        // SAFETY: the caller's promise; the pool is that of the configuration, or of the request
        // where the line stands in .htaccess.
        unsafe { Self { raw: &*raw, pool: Pool::new((*raw).pool) } }
    }

    /// The directive or, where `<AuthzProviderAlias>` has its line read, the last one in it.
    pub(super) fn directive(&self) -> Option<Node<'a>> {
        // SAFETY: `new`; the tree of directives outlives the command.
        unsafe { Node::new(self.raw.directive) }
    }

    /// The name that `<AuthzProviderAlias>` gives to the line, which httpd reads as if it stood in
    /// the section around it. What an alias asks must not be asked wherever it is not named.
    pub(super) fn alias(&self) -> Option<String> {
        let section = self.directive()?.outwards().find(|node| node.is("<AuthzProviderAlias"))?;
        let name = self.pool.words(section.args()).into_iter().nth(1)?;
        Some(name.trim_end_matches('>').to_owned())
    }

    /// The server that the line is for.
    pub(super) fn server(&self) -> Server {
        // SAFETY: `new`; a server lives as long as the configuration.
        unsafe { Server::new(self.raw.server) }
    }

    /// Notes in the section's configuration what the line will ask of a user's row.
    pub(super) fn wants(&self, wants: &Wants) {
        if self.alias().is_some() {
            return;
        }
        selfcheck::note_wants(wants);
        // SAFETY: `new`; our value in the section's vector is NULL, where the section has none of
        // our directives, or what `create_dir_config` made for it, and nobody else has it now.
        unsafe {
            let vector = self.raw.context;
            if vector.is_null() {
                return;
            }
            let mut config = ffi::ap_get_module_config(vector, module()).cast::<Config>();
            if config.is_null() {
                config = self.pool.allocate(Config::default());
                ffi::ap_set_module_config(vector, module(), config.cast());
            }
            (*config).wants = (*config).wants.or(wants);
        }
    }

    /// What the section itself has set so far.
    pub(super) fn config(&self) -> Option<&Config> {
        let vector = self.raw.context;
        if vector.is_null() {
            return None;
        }
        // SAFETY: `new`; as in `wants`.
        unsafe { ffi::ap_get_module_config(vector, module()).cast::<Config>().as_ref() }
    }

    /// Ends `parse_require_line` (`mod_auth.h`): `parsed` is kept for `check_authorization`.
    ///
    /// # Safety
    /// `place` is where httpd asked for the result.
    pub(super) unsafe fn accept<T: 'static>(
        &self,
        parsed: T,
        place: *mut *const c_void,
    ) -> *const c_char {
        valid_user::seen(self);
        // SAFETY: the caller's promise.
        unsafe { *place = self.pool.allocate(parsed).cast() };
        ptr::null()
    }

    /// Ends it with the text that stops httpd from starting.
    pub(super) fn refuse(&self, name: &CStr, reason: &str) -> *const c_char {
        self.pool.c_str(&format!("Require {}: {reason}", name.to_string_lossy()))
    }

    fn expression(&self, word: &str) -> Result<Word, String> {
        let mut error = ptr::null();
        // SAFETY: `new`; the text is copied into the pool first, because the parsed form points
        // into it; `error` is written where parsing fails.
        let parsed = unsafe {
            ffi::ap_expr_parse_cmd_mi(
                self.raw,
                self.pool.c_str(word),
                ffi::AP_EXPR_FLAG_STRING_RESULT,
                &mut error,
                None,
                (*module()).module_index,
            )
        };
        if error.is_null() && !parsed.is_null() {
            return Ok(Word::Expression(parsed));
        }
        // SAFETY: httpd's text lives as long as the pool.
        let reason = String::from_utf8_lossy(unsafe { bytes(error) });
        Err(format!("\"{word}\" is not an expression: {reason}"))
    }
}

/// The words behind `Require NAME`.
pub(super) struct Line {
    words: Vec<Word>,
}

enum Word {
    Literal(String),
    /// One word, whatever it becomes: a client's text must not become several names.
    Expression(*const ffi::ap_expr_info_t),
}

impl Line {
    /// Reads the words and has the rule look at them.
    pub(super) fn parse<R: Rule>(command: &Command<'_>, line: &CStr) -> Result<Self, String> {
        let line = Self::read(command, line)?;
        let literals: Vec<_> = line.words.iter().map(Word::literal).collect();
        R::check(&literals)?;
        command.wants(&R::WANTS);
        Ok(line)
    }

    /// Reads the words.
    pub(super) fn read(command: &Command<'_>, line: &CStr) -> Result<Self, String> {
        let words = command
            .pool
            .words(line)
            .into_iter()
            .map(|word| match word.contains("%{") {
                true => command.expression(&word),
                false => Ok(Word::Literal(word)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { words })
    }

    /// Takes the first word away; `None` if there is none, or it is an expression.
    pub(super) fn take_literal(&mut self) -> Option<String> {
        let name = self.words.first()?.literal()?.to_owned();
        self.words.remove(0);
        Some(name)
    }

    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The words for this request, each at its place.
    pub(super) fn values<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Cow<'a, str>>, Error> {
        self.words.iter().map(|word| word.evaluate(request)).collect()
    }

    /// The words for this request; an expression that comes to nothing is none.
    pub(super) fn words<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Cow<'a, str>>, Error> {
        let mut words = self.values(request)?;
        words.retain(|word| !word.is_empty());
        Ok(words)
    }
}

impl Word {
    fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(word) => Some(word),
            Self::Expression(_) => None,
        }
    }

    fn evaluate<'a>(&'a self, request: &Request<'a>) -> Result<Cow<'a, str>, Error> {
        let expression = match self {
            Self::Literal(word) => return Ok(word.into()),
            Self::Expression(expression) => *expression,
        };
        let mut error = ptr::null();
        // SAFETY: the expression was parsed into the pool of the configuration, or of this request
        // where it stands in .htaccess; both texts live as long as the request.
        let (text, error) = unsafe {
            let text = ffi::ap_expr_str_exec(request.raw(), expression, &mut error);
            (bytes(text), bytes(error))
        };
        if error.is_empty() {
            Ok(String::from_utf8_lossy(text))
        } else {
            Err(Error::Expression(String::from_utf8_lossy(error).into_owned()))
        }
    }
}
