//! `Outages`: databases that are away, in memory that all children share, so that one of them tells.

#![forbid(unsafe_code)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// As many databases can be told of.
pub const DATABASES: usize = 256;

/// Children see the beginning of an outage at different moments: who had an answer for so much longer
/// than another one had none is at the same beginning.
const SAME: Duration = Duration::from_secs(1);

/// The bits of a place that say when, in milliseconds; the others say which database.
const TIME: u64 = (1 << 40) - 1;

/// What all children know of databases that are away.
pub struct Outages {
    /// 0, or the last outage that was told of, each of another database.
    told: &'static [AtomicU64],
    /// What time counts from in all children.
    begin: Instant,
}

impl Outages {
    /// As `told` has them, by the clock that began at `begin`.
    pub fn new(told: &'static [AtomicU64], begin: Instant) -> Self {
        Self { told, begin }
    }

    /// Whether nobody has told yet of this outage of `database`, which began after it had `answered`
    /// this child. Who asks is to tell.
    pub fn are_news(&self, database: &str, answered: Option<Instant>) -> bool {
        let mut hasher = DefaultHasher::new();
        database.hash(&mut hasher);
        let name = hasher.finish() & !TIME;
        let (now, answered) = (self.time(Some(Instant::now())), self.time(answered));
        let same = SAME.as_millis() as u64;
        let news = |told: u64| {
            let over = told & !TIME == name && answered > (told & TIME) + same;
            (told == 0 || over).then_some(name | now)
        };
        for place in self.told {
            match place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, news) {
                Ok(_) => return true,
                Err(told) if told & !TIME == name => return false,
                Err(_) => {}
            }
        }
        false
    }

    /// Never 0.
    fn time(&self, moment: Option<Instant>) -> u64 {
        let since = moment.map_or(Duration::ZERO, |at| at.saturating_duration_since(self.begin));
        (u64::try_from(since.as_millis()).unwrap_or(u64::MAX) & TIME).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_child_tells_of_an_outage_and_of_the_next_one_again() {
        let told: &[AtomicU64] = (0..64).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak();
        let begin = Instant::now() - SAME * 100;
        let children = [Outages::new(told, begin), Outages::new(told, begin)];
        let ago = |times: u32| Some(Instant::now() - SAME * times);
        let [first, second] = &children;
        assert!(first.are_news("a", ago(3)));
        for child in &children {
            // Whatever a child has last seen of the time before, and just after.
            assert!(!child.are_news("a", ago(50)) && !child.are_news("a", None));
            assert!(!child.are_news("a", Some(Instant::now())));
        }
        assert!(second.are_news("b", ago(3)), "another database");
        // It has answered since, and is away again.
        let later = Some(Instant::now() + SAME * 2);
        assert!(second.are_news("a", later));
        assert!(!first.are_news("a", ago(0)) && !first.are_news("b", ago(0)));
        // However many there are.
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let told = names.iter().filter(|name| first.are_news(name, ago(3))).count();
        assert_eq!(told, 62);
        assert!(names.iter().all(|name| !second.are_news(name, ago(3))));
    }
}
