//! Header fields of a response, as adapters write them: [`Fields`].

use std::{borrow::Cow, ops::Deref};

use smallvec::SmallVec;

/// Header fields: names in lower case, and values. A value that is the same in
/// all responses is borrowed from the policy set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fields<'a>(SmallVec<[Field<'a>; 6]>);

type Field<'a> = (&'static str, Cow<'a, str>);

impl<'a> Fields<'a> {
    /// Returns true if a field is a list, which goes on in another line of its name, as
    /// RFC 9651 (section 3.1) allows: nested limits show both. Of all others a response has
    /// one. (Up to draft -07 `ratelimit` is a dictionary.)
    #[inline]
    #[must_use]
    pub fn is_list(name: &str, value: &str) -> bool {
        name == "ratelimit-policy" || name == "ratelimit" && value.starts_with('"')
    }

    /// Returns the value of a field, whose name is given in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| &**value)
    }

    /// Returns the fields that `write_all` writes.
    pub(crate) fn collect(
        write_all: impl FnOnce(&mut dyn FnMut(&'static str, Cow<'a, str>)),
    ) -> Self {
        let mut fields = SmallVec::new();
        write_all(&mut |name, value| fields.push((name, value)));
        Self(fields)
    }
}

impl<'a> Deref for Fields<'a> {
    type Target = [Field<'a>];

    fn deref(&self) -> &[Field<'a>] {
        &self.0
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = Field<'a>;
    type IntoIter = FieldsIntoIter<'a>;

    fn into_iter(self) -> FieldsIntoIter<'a> {
        FieldsIntoIter(self.0.into_iter())
    }
}

/// The header fields of [`Fields`], one after the other.
#[derive(Debug)]
pub struct FieldsIntoIter<'a>(smallvec::IntoIter<[Field<'a>; 6]>);

impl<'a> Iterator for FieldsIntoIter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.0.next()
    }
}
