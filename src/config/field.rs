//! What a section keeps of a directive, and how an inner section's goes over that of the one around it.

#![forbid(unsafe_code)]

use crate::query;
use std::sync::Arc;

/// What a row of the table keeps of its directive in each section.
pub trait Field: Default {
    /// Takes the words of one line.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`; never a secret.
    fn set(&mut self, words: &[&str]) -> Result<(), String>;

    /// What holds in the section of `add` within that of `base`.
    fn merge(base: &Self, add: &Self) -> Self;
}

/// A value that a section sets, sets back to the default, or leaves to the section around it.
#[derive(Debug)]
pub struct Setting<T>(Option<Option<Arc<T>>>);

impl<T> Clone for Setting<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Setting<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Setting<T> {
    /// The value in force; `None` where the default is.
    pub fn get(&self) -> Option<&Arc<T>> {
        self.0.as_ref()?.as_ref()
    }

    /// The same for the edge that shares equal values between sections.
    pub fn get_mut(&mut self) -> Option<&mut Arc<T>> {
        self.0.as_mut()?.as_mut()
    }

    /// Whether the section says anything of it, be it the default.
    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }
}

impl<T: FromWords> Field for Setting<T> {
    fn merge(base: &Self, add: &Self) -> Self {
        Self(add.0.clone().or_else(|| base.0.clone()))
    }

    fn set(&mut self, words: &[&str]) -> Result<(), String> {
        self.0 = Some(match words {
            ["default"] => None,
            words => Some(Arc::new(T::from_words(words)?)),
        });
        Ok(())
    }
}

/// Values by name, of which a section adds to those around it, replaces one by its name, or forgets
/// them all.
#[derive(Debug)]
pub struct Named<T> {
    /// Whether the section wants none of those around it.
    forgets: bool,
    values: Vec<(String, Arc<T>)>,
}

impl<T> Clone for Named<T> {
    fn clone(&self) -> Self {
        Self { forgets: self.forgets, values: self.values.clone() }
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { forgets: false, values: Vec::new() }
    }
}

impl<T> Named<T> {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn put(&mut self, name: &str, value: Arc<T>) {
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name.to_owned(), value)),
        }
    }
}

impl<T: FromWords> Field for Named<T> {
    fn set(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["default"] => *self = Self { forgets: true, values: Vec::new() },
            ["default", ..] => {
                return Err("default is no name: alone, it forgets what the sections around this \
                            one have set"
                    .into());
            }
            [] => return Err("needs a name of your own, and what it is the name of".into()),
            [name, words @ ..] => {
                query::check_name(name)?;
                let value = T::from_words(words).map_err(|reason| format!("{name}: {reason}"))?;
                self.put(name, Arc::new(value));
            }
        }
        Ok(())
    }

    fn merge(base: &Self, add: &Self) -> Self {
        let mut merged = Self {
            forgets: base.forgets || add.forgets,
            values: if add.forgets { Vec::new() } else { base.values.clone() },
        };
        for (name, value) in &add.values {
            merged.put(name, Arc::clone(value));
        }
        merged
    }
}

/// A type that reads itself from the words of its directive.
pub trait FromWords: Sized {
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`; never a secret.
    fn from_words(words: &[&str]) -> Result<Self, String>;
}
