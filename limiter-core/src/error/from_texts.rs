//! Conversions of what is written as text: [`from_texts`].

/// Implements `TryFrom` of a text, by the type's `FromStr`, and of a list of texts, by its
/// `parse`, so that both stand where the type does.
macro_rules! from_texts {
    ($type:ty) => {
        impl TryFrom<&str> for $type {
            type Error = $crate::error::ConfigError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl<const N: usize> TryFrom<[&str; N]> for $type {
            type Error = $crate::error::ConfigError;

            fn try_from(texts: [&str; N]) -> Result<Self, Self::Error> {
                Self::parse(texts)
            }
        }
    };
}
pub(crate) use from_texts;
