//! The names that shared stores keep state under: what is kept, in which scope, of whom.

/// The first part of the name of an item's counter, strikes or ban, of which a
/// store makes its own.
pub(in crate::store) fn part(kind: char, scope: u64) -> String {
    let mut name = String::with_capacity(17);
    write_part(&mut name, kind, scope);
    name
}

/// Writes that part, with the scope in 16 hexadecimal digits. (By `write!` it took a
/// twentieth of a check in Redis.)
pub(in crate::store) fn write_part(name: &mut String, kind: char, scope: u64) {
    name.push(kind);
    for byte in scope.to_be_bytes() {
        for digit in [byte >> 4, byte & 15] {
            name.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_sixteen_digits() {
        assert_eq!(part('c', 0x0123_4567_89ab_cdef), "c0123456789abcdef");
        assert_eq!(part('b', 10), "b000000000000000a");
    }
}
