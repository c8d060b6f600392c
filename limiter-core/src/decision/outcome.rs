//! The verdict of a check and its ban, in two words: [`Outcome`].

use std::fmt;

use super::{PolicyBan, Verdict};
use crate::time::Timestamp;

/// The verdict, and the ban in force that ends last, where the verdict is
/// [`Verdict::Banned`].
///
/// Not in a box, since a client that goes on while it is banned is not to cost an
/// allocation each time; in two words, since every decision is moved with it: as
/// `Option<PolicyBan>` beside the verdict it took four, and a check 7 % more instructions.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Outcome {
    /// A [`Verdict`], and above it the position of the policy whose ban it is.
    verdict: u64,
    /// The end of the ban; 0 where there is none.
    banned_until: Timestamp,
}

const POLICY_AT: u32 = 8;

impl Outcome {
    #[inline]
    pub(super) const fn allowed() -> Self {
        Self { verdict: Verdict::Allowed as u64, banned_until: Timestamp::from_micros(0) }
    }

    #[inline]
    pub(super) const fn limited() -> Self {
        Self { verdict: Verdict::Limited as u64, ..Self::allowed() }
    }

    /// Returns the outcome of that ban. Nobody has 2^56 policies.
    #[inline]
    pub(super) const fn banned(PolicyBan { policy, until }: PolicyBan) -> Self {
        let verdict = Verdict::Banned as u64 | (policy as u64) << POLICY_AT;
        Self { verdict, banned_until: until }
    }

    #[inline]
    pub(super) const fn verdict(self) -> Verdict {
        match self.verdict & ((1 << POLICY_AT) - 1) {
            0 => Verdict::Allowed,
            1 => Verdict::Limited,
            _ => Verdict::Banned,
        }
    }

    #[inline]
    pub(super) const fn ban(self) -> Option<PolicyBan> {
        match self.verdict() {
            Verdict::Banned => {
                let policy = (self.verdict >> POLICY_AT) as usize;
                Some(PolicyBan { policy, until: self.banned_until })
            }
            Verdict::Allowed | Verdict::Limited => None,
        }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ban() {
            Some(ban) => ban.fmt(f),
            None => self.verdict().fmt(f),
        }
    }
}
