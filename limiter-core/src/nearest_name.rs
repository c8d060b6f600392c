//! The known name that a wrong one was meant to be: [`did_you_mean`].

/// Returns `did you mean "store"? ` for the error about a wrong name, or nothing where no
/// known name is near: at most a third of the characters may be wrong. Case, and `-` for
/// `_`, are no difference.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let wrong = plain(wrong);
    let with_distance = known.into_iter().map(|name| (edit_distance(&wrong, &plain(name)), name));
    let is_near = |(distance, _): &(usize, &str)| *distance <= wrong.chars().count() / 3;
    let nearest = with_distance.min_by_key(|(distance, _)| *distance).filter(is_near);
    nearest.map_or_else(String::new, |(_, name)| format!("did you mean {name:?}? "))
}

/// Returns how many characters have to be inserted, removed, replaced, or swapped with their
/// neighbours to make one text of the other (optimal string alignment).
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            let swapped = if is_swap { rows[i - 2][j - 2] + 1 } else { replaced };
            row.push(replaced.min(swapped).min(rows[i - 1][j] + 1).min(row[j - 1] + 1));
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_taken_for_the_nearest() {
        let known = ["store", "trusted_proxies", "max_keys", "block", "api", "ban"];
        let table = [
            ("stor", "store"),
            ("sotre", "store"),
            ("trusted-proxy", "trusted_proxies"),
            ("maxKeys", "max_keys"),
            ("aip", "api"),
            ("API", "api"),
        ];
        for (wrong, right) in table {
            assert_eq!(did_you_mean(wrong, known), format!("did you mean {right:?}? "));
        }
        for wrong in ["debug", "backlog", "b", ""] {
            assert_eq!(did_you_mean(wrong, known), "", "{wrong}");
        }
    }

    #[test]
    fn distances_are_those_of_optimal_string_alignment() {
        let table = [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("ca", "abc", 3),
            ("größe", "grose", 2),
        ];
        for (a, b, distance) in table {
            assert_eq!((edit_distance(a, b), edit_distance(b, a)), (distance, distance), "{a} {b}");
        }
    }
}
