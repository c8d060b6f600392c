//! The quotas of one policy: [`Quotas`].

use std::sync::Arc;

use super::{Algorithm, MAX_QUOTAS, Quota, QuotaError};

/// The quotas of a policy: at least one, none twice, in one canonical order.
///
/// All of them are decided together: a refusal by one charges none, and the
/// order in which they were written makes no difference.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Quotas(Arc<[Quota]>);

impl Quotas {
    /// Puts quotas into their canonical order: the shortest window first.
    ///
    /// # Errors
    /// If there is none, one of them is there twice, or there are more than
    /// [`MAX_QUOTAS`].
    pub fn new(quotas: impl IntoIterator<Item = Quota>) -> Result<Self, QuotaError> {
        let mut quotas: Vec<_> = quotas.into_iter().collect();
        quotas.sort_unstable_by_key(|q| {
            (q.window, q.limit, q.burst, q.algorithm.as_str(), q.segments, q.start)
        });
        if quotas.is_empty() {
            return Err(QuotaError::Empty);
        }
        if quotas.len() > MAX_QUOTAS {
            return Err(QuotaError::TooMany(quotas.len()));
        }
        match quotas.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(QuotaError::Twice(pair[0].to_string())),
            None => Ok(Self(quotas.into())),
        }
    }

    /// Returns the same quotas, counted by `algorithm`, but for those whose windows begin
    /// [at a set time](Quota::with_window_start).
    ///
    /// # Errors
    /// As [`Quota::with_algorithm`].
    pub fn with_algorithm(&self, algorithm: Algorithm) -> Result<Self, QuotaError> {
        let changed: Result<Vec<_>, _> = self
            .iter()
            .map(|quota| match quota.window_start() {
                Some(_) => Ok(*quota),
                None => quota.with_algorithm(algorithm),
            })
            .collect();
        Self::new(changed?)
    }

    /// The same quotas, with that many segments in each strict window.
    ///
    /// # Errors
    /// If the number is out of range, or no quota is counted by
    /// [`Algorithm::StrictWindow`].
    pub fn with_segments(&self, segments: u8) -> Result<Self, QuotaError> {
        if self.iter().all(|quota| quota.segments == 0) {
            return Err(QuotaError::NoSegments(self[0].algorithm.as_str()));
        }
        let changed: Result<Vec<_>, _> = self
            .iter()
            .map(|quota| match quota.algorithm {
                Algorithm::StrictWindow => quota.with_segments(segments),
                _ => Ok(*quota),
            })
            .collect();
        Self::new(changed?)
    }

    pub(crate) fn scaled(&self, factor: u64) -> Self {
        Self(self.iter().map(|quota| quota.scaled(factor)).collect())
    }

    pub(crate) fn divided(&self, parts: u32, cost: u64) -> Self {
        Self(self.iter().map(|quota| quota.divided(parts, cost)).collect())
    }
}

impl std::ops::Deref for Quotas {
    type Target = [Quota];

    fn deref(&self) -> &[Quota] {
        &self.0
    }
}

impl From<Quota> for Quotas {
    fn from(quota: Quota) -> Self {
        Self(Arc::new([quota]))
    }
}

impl TryFrom<&str> for Quotas {
    type Error = QuotaError;

    fn try_from(text: &str) -> Result<Self, QuotaError> {
        text.parse()
    }
}
