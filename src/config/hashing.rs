//! `AuthDjangoHashing`: how many hashes run and wait, and what they may take.

#![forbid(unsafe_code)]

use super::FromWords;
use crate::hashing::Limits;
use std::ops::RangeInclusive;
use std::thread;

/// `AuthDjangoHashing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingSettings {
    threads: Option<usize>,
    queue: usize,
    /// In MiB.
    memory: u32,
}

impl Default for HashingSettings {
    fn default() -> Self {
        Self { threads: None, queue: 256, memory: 512 }
    }
}

impl HashingSettings {
    /// The limits on this machine, whose cores are the threads where none are named.
    pub fn limits(&self) -> Limits {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        Limits {
            threads: self.threads.unwrap_or_else(cores),
            queue: self.queue,
            memory: self.memory.saturating_mul(1024),
        }
    }
}

impl FromWords for HashingSettings {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        let mut settings = Self::default();
        if words.is_empty() {
            return Err("needs threads=, queue= or memory=".into());
        }
        for word in words {
            match word.split_once('=') {
                Some(("threads", n)) => settings.threads = Some(number(word, n, 1..=1024)?),
                Some(("queue", n)) => settings.queue = number(word, n, 0..=100_000)?,
                Some(("memory", n)) => settings.memory = number(word, n, 1..=1_048_576)?,
                _ => {
                    return Err(format!(
                        "\"{word}\" is none of threads=NUMBER, queue=NUMBER, memory=MIB"
                    ));
                }
            }
        }
        Ok(settings)
    }
}

fn number<T>(word: &str, text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        format!("{word}: must be a number from {} to {}", range.start(), range.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_of_the_machine_unless_they_are_named() {
        let cores = thread::available_parallelism().unwrap().get();
        let default = HashingSettings::default().limits();
        assert_eq!(default, Limits { threads: cores, queue: 256, memory: 512 * 1024 });
        let words = ["threads=3", "queue=0", "memory=1"];
        let named = HashingSettings::from_words(&words).unwrap().limits();
        assert_eq!(named, Limits { threads: 3, queue: 0, memory: 1024 });
        for word in ["threads=0", "threads=x", "queue=-1", "memory=0", "memory=1G", "cores=2", "3"]
        {
            assert!(HashingSettings::from_words(&[word]).is_err(), "{word}");
        }
    }
}
