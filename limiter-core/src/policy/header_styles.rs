//! The header fields that show a policy to clients: one [`HeaderStyle`], or several of
//! them, [`HeaderStyles`].

use std::str::FromStr;

use crate::{error::ConfigError, name::words};

/// A set of header fields that show a policy to clients.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeaderStyle {
    /// `RateLimit-Policy` and `RateLimit` of
    /// draft-ietf-httpapi-ratelimit-headers-08 to -11.
    #[default]
    Draft11,
    /// `RateLimit-Policy: 10;w=60` and `RateLimit: limit=10, remaining=3, reset=42`
    /// of draft-ietf-httpapi-ratelimit-headers-07, of the quota with the least
    /// remaining.
    Draft7,
    /// `RateLimit-Policy: 10;w=60`, `RateLimit-Limit`, `RateLimit-Remaining` and
    /// `RateLimit-Reset` of drafts -03 to -06, of the quota with the least
    /// remaining.
    Draft6,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, and `X-RateLimit-Reset` in
    /// seconds since the Unix epoch, as GitHub writes them, of the quota with
    /// the least remaining.
    XRateLimit,
    /// None. `Retry-After` is sent all the same.
    None,
}

words!(HeaderStyle:
    "draft-11" => Self::Draft11,
    "draft-7" => Self::Draft7,
    "draft-6" => Self::Draft6,
    "x-ratelimit" => Self::XRateLimit,
    "none" => Self::None,
);

/// The header fields of a policy: those of one draft, `X-RateLimit-*`, both, or none.
///
/// ```
/// use limiter_core::{HeaderStyle, HeaderStyles, Policy};
///
/// // For clients that read the draft's fields, and for those that read the old ones.
/// let both = HeaderStyles::new([HeaderStyle::Draft11, HeaderStyle::XRateLimit])?;
/// let policy = Policy::new("api", "10/minute")?.with_headers(both);
/// assert!(policy.headers().contains(HeaderStyle::XRateLimit));
/// assert_eq!(both, "draft-11, x-ratelimit".parse()?);
/// # Ok::<(), limiter_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HeaderStyles {
    /// One of the drafts, or none of them.
    draft: HeaderStyle,
    has_x_ratelimit: bool,
}

impl HeaderStyles {
    /// Joins styles.
    ///
    /// # Errors
    /// If two drafts are among them, since they write the same field names in different
    /// forms; if [`HeaderStyle::None`] is beside another; or if there is none at all.
    pub fn new(styles: impl IntoIterator<Item = HeaderStyle>) -> Result<Self, ConfigError> {
        let mut styles = styles.into_iter();
        let wrong = |message: &str| Err(ConfigError::new(message));
        let Some(first) = styles.next() else {
            return wrong("is empty; write \"none\" for no fields, or \"draft-11\"");
        };
        let mut joined = Self::from(first);
        for style in styles {
            let more = Self::from(style);
            if joined == Self::NONE || more == Self::NONE {
                return wrong("has \"none\" beside others; write it alone, or leave it out");
            }
            let drafts = [joined.draft, more.draft];
            if drafts[0] != drafts[1] && !drafts.contains(&HeaderStyle::None) {
                return wrong(
                    "has two drafts, which write the same fields in different forms; write one \
                     of them, such as [\"draft-11\", \"x-ratelimit\"]",
                );
            }
            if more.draft != HeaderStyle::None {
                joined.draft = more.draft;
            }
            joined.has_x_ratelimit |= more.has_x_ratelimit;
        }
        Ok(joined)
    }

    const NONE: Self = Self { draft: HeaderStyle::None, has_x_ratelimit: false };

    /// Returns true if responses have the fields of that style. They have those of
    /// [`HeaderStyle::None`] if they have no others.
    #[must_use]
    pub fn contains(&self, style: HeaderStyle) -> bool {
        match style {
            HeaderStyle::XRateLimit => self.has_x_ratelimit,
            HeaderStyle::None => *self == Self::NONE,
            draft => self.draft == draft,
        }
    }
}

impl From<HeaderStyle> for HeaderStyles {
    fn from(style: HeaderStyle) -> Self {
        match style {
            HeaderStyle::XRateLimit => Self { has_x_ratelimit: true, ..Self::NONE },
            draft => Self { draft, has_x_ratelimit: false },
        }
    }
}

impl FromStr for HeaderStyles {
    type Err = ConfigError;

    /// Reads styles with commas between.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let styles: Result<Vec<_>, _> = words.map(str::parse).collect();
        Self::new(styles?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_joined_where_their_fields_differ() {
        use HeaderStyle::{Draft6, Draft7, Draft11, None, XRateLimit};
        for (text, held) in [
            ("draft-11", vec![Draft11]),
            ("x-ratelimit", vec![XRateLimit]),
            ("x-ratelimit,draft-6", vec![Draft6, XRateLimit]),
            ("draft-7, x-ratelimit, draft-7", vec![Draft7, XRateLimit]),
            ("none", vec![None]),
        ] {
            let styles: HeaderStyles = text.parse().unwrap();
            for style in [Draft11, Draft7, Draft6, XRateLimit, None] {
                assert_eq!(styles.contains(style), held.contains(&style), "{text}: {style:?}");
            }
        }
        for (text, part) in [
            ("draft-11, draft-6", "two drafts"),
            ("none, x-ratelimit", "\"none\" beside others"),
            ("", "is empty; write \"none\""),
            ("draft-8", "\"draft-8\" is not known; write \"draft-11\""),
        ] {
            let error = text.parse::<HeaderStyles>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
