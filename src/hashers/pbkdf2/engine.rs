//! `Engine`: which way the iterations are done, by the CPU and the number of checks.
#![forbid(unsafe_code)]

use super::job::Job;
use super::{Avx512, ShaNi, portable};

/// How many checks AVX-512 does at once.
const LANES: usize = 16;

/// From how many checks on the lanes of AVX-512 are as fast or faster, empty ones included: their cost
/// is that of 6 checks by SHA-NI alone, of 8 (Xeon) to 10 (Zen 4) in pairs, and of 1.5 where there is no SHA-NI.
const LANES_FROM: usize = 9;
const LANES_FROM_WITHOUT_SHA_NI: usize = 2;

/// How many checks one core should do at once by SHA-NI: two take 1.4 to 1.5 times as long as one. A
/// third one gains 4 % at most, and would only be done sooner by waiting.
const STREAMS: usize = 2;

/// What this CPU offers to PBKDF2-HMAC-SHA256.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    sha_ni: Option<ShaNi>,
    avx512: Option<Avx512>,
}

impl Engine {
    /// The fastest one for this CPU.
    pub fn detect() -> Self {
        Self { sha_ni: ShaNi::detect(), avx512: Avx512::detect() }
    }

    /// The one that every CPU has.
    pub fn portable() -> Self {
        Self { sha_ni: None, avx512: None }
    }

    /// Every one that this CPU has, each alone.
    pub fn all() -> Vec<Self> {
        let (sha_ni, avx512) = (ShaNi::detect(), Avx512::detect());
        let mut all = vec![Self::portable()];
        all.extend(sha_ni.map(|_| Self { sha_ni, avx512: None }));
        all.extend(avx512.map(|_| Self { sha_ni: None, avx512 }));
        all
    }

    /// What so many checks side by side are done by.
    pub fn name(&self, checks: usize) -> &'static str {
        if self.avx512.is_some() && checks >= self.lanes_from() {
            "AVX-512"
        } else if self.sha_ni.is_some() {
            "SHA-NI"
        } else {
            "portable"
        }
    }

    /// How many checks one thread should have in hand, if it can have `share` of them.
    pub fn width(&self, share: usize) -> usize {
        let most = if self.avx512.is_some() && share >= self.lanes_from() {
            LANES
        } else if self.sha_ni.is_some() {
            STREAMS
        } else {
            1
        };
        share.clamp(1, most)
    }

    /// Does as many iterations of all jobs as the first of them has left, but no more than `most`.
    pub fn advance(&self, jobs: &mut [&mut Job], most: u32) {
        let iterations = jobs.iter().map(|job| job.left).min().unwrap_or(0).min(most);
        self.run(jobs, iterations);
        // Only now: what a panic interrupted is never taken for done.
        for job in jobs {
            job.left -= iterations;
        }
    }

    fn run(&self, jobs: &mut [&mut Job], iterations: u32) {
        if let Some(avx512) = self.avx512
            && jobs.len() >= self.lanes_from()
        {
            for lanes in jobs.chunks_mut(LANES) {
                avx512.advance(lanes, iterations);
            }
        } else if let Some(sha_ni) = self.sha_ni {
            // Pairs, and three rather than a pair and one: in threes a Zen 4 is 13 % slower than in
            // pairs, and a Xeon 4 % faster.
            let odd = if jobs.len() > 2 { jobs.len() % 2 } else { 0 };
            let (three, pairs) = jobs.split_at_mut(3 * odd);
            let (pairs, single) = pairs.as_chunks_mut();
            for jobs in three.as_chunks_mut().0 {
                sha_ni.advance::<3>(jobs, iterations);
            }
            for jobs in pairs {
                sha_ni.advance::<2>(jobs, iterations);
            }
            for jobs in single.as_chunks_mut().0 {
                sha_ni.advance::<1>(jobs, iterations);
            }
        } else {
            for job in jobs {
                portable::advance(job, iterations);
            }
        }
    }

    fn lanes_from(&self) -> usize {
        if self.sha_ni.is_some() { LANES_FROM } else { LANES_FROM_WITHOUT_SHA_NI }
    }
}
