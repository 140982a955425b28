//! The clock by which the `expire_date` of a session's row stands.

#![forbid(unsafe_code)]

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::time::SystemTime;

/// UTC, or the `TIME_ZONE` of a site that has `USE_TZ` off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock(TimeZone);

impl Default for Clock {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Clock {
    /// That of a zone of the system's tz database, as `Europe/Berlin`.
    ///
    /// # Errors
    /// The reason and the remedy: there is no such zone.
    pub fn named(zone: &str) -> Result<Self, String> {
        TimeZone::get(zone).map(Self).map_err(|_| {
            format!(
                "\"{zone}\" is no time zone that this machine knows: it must be TIME_ZONE as \
                 settings.py has it, and tzdata must be installed"
            )
        })
    }

    /// Whether this moment, as `YYYY-MM-DD HH:MM:SS[.ffffff]`, is over: Django asks for rows whose
    /// `expire_date` is later than now. What is no moment is over.
    pub(crate) fn has_passed(&self, moment: &str, now: SystemTime) -> bool {
        match (moment.parse::<DateTime>(), Timestamp::try_from(now)) {
            (Ok(moment), Ok(now)) => moment <= self.0.to_datetime(now),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// 2023-11-14 22:13:20 UTC.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    #[test]
    fn a_row_ends_at_its_moment() {
        let clock = Clock::default();
        for (moment, passed) in [
            ("2023-11-14 22:13:19", true),
            ("2023-11-14 22:13:20", true),
            ("2023-11-14 22:13:20.000001", false),
            ("2023-11-14 22:13:21", false),
            ("2023-11-14 22:13:21.5", false),
            ("9999-12-31 23:59:59.999999", false),
            ("0000-00-00 00:00:00", true),
            ("2023-11-31 22:13:21", true),
            ("tomorrow", true),
            ("", true),
        ] {
            assert_eq!(clock.has_passed(moment, now()), passed, "{moment}");
        }
    }

    #[test]
    fn a_site_without_time_zones_has_its_own_clock() {
        let berlin = Clock::named("Europe/Berlin").unwrap();
        assert!(berlin.has_passed("2023-11-14 23:13:20", now()));
        assert!(!berlin.has_passed("2023-11-14 23:13:21", now()));
        let in_summer = UNIX_EPOCH + Duration::from_secs(1_690_000_000);
        // 2023-07-22 04:26:40 UTC.
        assert!(berlin.has_passed("2023-07-22 06:26:40", in_summer));
        assert!(!berlin.has_passed("2023-07-22 06:26:41", in_summer));
        assert!(Clock::named("Europe/Nowhere").unwrap_err().contains("Europe/Nowhere"));
        assert!(Clock::named("").is_err());
    }
}
