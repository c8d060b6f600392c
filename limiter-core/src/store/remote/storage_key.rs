//! The names that shared stores keep state under: what is kept, in which scope, of whom.

/// The first part of the name of an item's counter, strikes or ban, of which a
/// store makes its own.
pub(in crate::store) fn part(kind: char, scope: u64) -> String {
    let mut name = String::with_capacity(17);
    write_part(&mut name, kind, scope);
    name
}

pub(in crate::store) fn write_part(name: &mut String, kind: char, scope: u64) {
    name.push(kind);
    for shift in (0..u64::BITS).step_by(4).rev() {
        let digit = (scope >> shift & 0xf) as u32;
        name.extend(char::from_digit(digit, 16));
    }
}
