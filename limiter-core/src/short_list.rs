//! A list that is short nearly always: [`ShortList`].

use std::{
    fmt,
    hash::{Hash, Hasher},
    iter, mem,
    ops::{Deref, DerefMut},
    option, slice, vec,
};

/// A list whose first element takes no allocation. Read it as a slice.
///
/// How it keeps its elements is no part of its interface.
#[derive(Clone)]
pub struct ShortList<T>(Repr<T>);

/// A single element has no length beside it, so that it is moved as a value of its own.
/// (In a `SmallVec`, moves of subjects and decisions took a fifth of a check.)
#[derive(Clone)]
enum Repr<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> ShortList<T> {
    /// Returns an empty list.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self(Repr::Many(Vec::new()))
    }

    /// Returns an empty list with room for so many elements.
    #[inline]
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Repr::Many(if capacity > 1 { Vec::with_capacity(capacity) } else { Vec::new() }))
    }

    /// Returns a list of one element.
    #[inline]
    #[must_use]
    pub const fn of_one(element: T) -> Self {
        Self(Repr::One(element))
    }

    /// Returns a list of those elements.
    #[inline]
    pub(crate) const fn of_many(elements: Vec<T>) -> Self {
        Self(Repr::Many(elements))
    }

    /// Adds an element at the end.
    #[inline]
    pub fn push(&mut self, element: T) {
        match &mut self.0 {
            Repr::Many(elements) if elements.capacity() == 0 => self.0 = Repr::One(element),
            Repr::Many(elements) => elements.push(element),
            Repr::One(_) => {
                if let Repr::One(first) = mem::replace(&mut self.0, Repr::Many(Vec::new())) {
                    self.0 = Repr::Many(vec![first, element]);
                }
            }
        }
    }
}

impl<T> Default for ShortList<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for ShortList<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Repr::One(element) => slice::from_ref(element),
            Repr::Many(elements) => elements,
        }
    }
}

impl<T> DerefMut for ShortList<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Repr::One(element) => slice::from_mut(element),
            Repr::Many(elements) => elements,
        }
    }
}

impl<T: PartialEq> PartialEq for ShortList<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T: Eq> Eq for ShortList<T> {}

impl<T: Hash> Hash for ShortList<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self[..].hash(state);
    }
}

impl<T> FromIterator<T> for ShortList<T> {
    #[inline]
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut elements = elements.into_iter();
        let Some(first) = elements.next() else { return Self::new() };
        match elements.next() {
            None => Self::of_one(first),
            Some(second) => {
                let mut all = Vec::with_capacity(2 + elements.size_hint().0);
                all.extend([first, second]);
                all.extend(elements);
                Self(Repr::Many(all))
            }
        }
    }
}

impl<T> Extend<T> for ShortList<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        elements.into_iter().for_each(|element| self.push(element));
    }
}

impl<'a, T> IntoIterator for &'a ShortList<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> IntoIterator for ShortList<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    #[inline]
    fn into_iter(self) -> IntoIter<T> {
        let (one, many) = match self.0 {
            Repr::One(element) => (Some(element), Vec::new()),
            Repr::Many(elements) => (None, elements),
        };
        IntoIter(one.into_iter().chain(many))
    }
}

impl<T: fmt::Debug> fmt::Debug for ShortList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

/// The elements of a [`ShortList`].
#[derive(Debug)]
pub struct IntoIter<T>(iter::Chain<option::IntoIter<T>, vec::IntoIter<T>>);

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T> ExactSizeIterator for IntoIter<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_list_that_was_put_in() {
        for length in 0..5 {
            let elements: Vec<u32> = (0..length).collect();
            let collected: ShortList<u32> = elements.iter().copied().collect();
            let mut pushed = ShortList::new();
            elements.iter().for_each(|element| pushed.push(*element));
            let mut roomy = ShortList::with_capacity(elements.len());
            elements.iter().for_each(|element| roomy.push(*element));
            let mut extended: ShortList<u32> = elements.iter().copied().take(1).collect();
            extended.extend(elements.iter().copied().skip(1));
            for list in [collected, pushed, roomy, extended] {
                assert_eq!(list[..], elements);
                assert_eq!(list.clone(), list);
                assert_eq!(list.clone().into_iter().len(), elements.len());
                assert!(list.into_iter().eq(elements.iter().copied()));
            }
        }
    }
}
