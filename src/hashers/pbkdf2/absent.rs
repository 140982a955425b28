//! Stands for the engines that this architecture does not have.
#![forbid(unsafe_code)]

use super::job::Job;

/// Of x86-64 alone.
#[derive(Debug, Clone, Copy)]
pub(super) enum ShaNi {}

/// Of x86-64 alone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Avx512 {}

impl ShaNi {
    pub(super) fn detect() -> Option<Self> {
        None
    }

    pub(super) fn advance<const N: usize>(self, _: &mut [&mut Job; N], _iterations: u32) {
        match self {}
    }
}

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        None
    }

    pub(super) fn advance(self, _: &mut [&mut Job], _iterations: u32) {
        match self {}
    }
}
