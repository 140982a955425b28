//! httpd's tree of directives, as far as a directive that is being read may look around in it. The
//! whole file is in the tree before the first of its directives is read, `.htaccess` too.

use super::{bytes, ffi};
use std::ffi::CStr;
use std::{fmt, iter};

/// A directive or section in the tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(&'a ffi::ap_directive_t);

impl<'a> Node<'a> {
    /// `None` for NULL.
    ///
    /// # Safety
    /// `raw` is NULL or a node of httpd's tree, which lives as long as `'a` and which nobody changes
    /// meanwhile.
    pub(super) unsafe fn new(raw: *const ffi::ap_directive_t) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe { raw.as_ref() }.map(Self)
    }

    fn name(self) -> &'a [u8] {
        // SAFETY: `new`; the strings of a node live as long as the node.
        unsafe { bytes(self.0.directive) }
    }

    /// Whether it is the directive `Name` or the section `<Name`.
    pub(super) fn is(self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// What stands behind the name.
    pub(super) fn args(self) -> &'a CStr {
        match self.0.args.is_null() {
            true => c"",
            // SAFETY: as in `name`; they end with NUL.
            false => unsafe { CStr::from_ptr(self.0.args) },
        }
    }

    /// The first word behind the name, without its quotes.
    pub(super) fn first_word(self) -> &'a [u8] {
        let args = self.args().to_bytes().trim_ascii_start();
        let word = match args.split_first() {
            Some((quote @ (b'"' | b'\''), rest)) => rest.split(|byte| byte == quote).next(),
            _ => args.split(u8::is_ascii_whitespace).next(),
        };
        word.unwrap_or_default()
    }

    /// The section around it; none at the top of a file.
    pub(super) fn parent(self) -> Option<Self> {
        // SAFETY: `new`; the links of a node lead to nodes of the same tree.
        unsafe { Self::new(self.0.parent) }
    }

    /// It and the sections around it, from the inside out.
    pub(super) fn outwards(self) -> impl Iterator<Item = Self> {
        iter::successors(Some(self), |node| node.parent())
    }

    /// It and what follows in the same section.
    pub(super) fn onwards(self) -> impl Iterator<Item = Self> {
        // SAFETY: as in `parent`.
        iter::successors(Some(self), |node| unsafe { Self::new(node.0.next) })
    }

    /// What stands in this section.
    pub(super) fn children(self) -> impl Iterator<Item = Self> {
        // SAFETY: as in `parent`.
        unsafe { Self::new(self.0.first_child) }.into_iter().flat_map(Self::onwards)
    }

    /// Its file.
    pub(super) fn file(self) -> String {
        // SAFETY: as in `name`.
        String::from_utf8_lossy(unsafe { bytes(self.0.filename) }).into_owned()
    }

    /// Its file and line.
    pub(super) fn place(self) -> String {
        format!("{}:{}", self.file(), self.0.line_num)
    }
}

/// As the configuration has it.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, args) = (String::from_utf8_lossy(self.name()), self.args().to_string_lossy());
        write!(f, "{name} {args}")
    }
}
