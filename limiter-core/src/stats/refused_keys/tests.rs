use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 / SLICE * SLICE + seconds * 1_000_000)
}

fn address(number: u32) -> Key {
    Key::ip(std::net::Ipv4Addr::from(number).into())
}

fn note(keys: &RefusedKeys, key: &Key, quota: Option<Quota>, now: Timestamp) -> bool {
    keys.note(key.keyed_hash(), key, quota, now)
}

#[test]
fn counts_are_exact_while_there_are_few_keys() {
    let keys = RefusedKeys::default();
    let quota: Quota = "5/minute".parse().unwrap();
    for n in 0..100 {
        assert!(note(&keys, &address(n % 3), Some(quota), at(u64::from(n))));
    }
    assert!(note(&keys, &address(0), None, at(119)));
    let top = keys.top(2, at(120));
    assert_eq!(top.len(), 2);
    assert_eq!((top[0].key.to_string().as_str(), top[0].count), ("ip=0.0.0.0", 35));
    assert_eq!((top[0].error, top[0].quota), (0, None));
    assert_eq!((top[0].first_seen, top[0].last_seen), (at(0), at(119)));
    assert_eq!((top[1].count, top[1].quota), (33, Some(quota)));
}

#[test]
fn refusals_are_forgotten_after_ten_minutes() {
    let keys = RefusedKeys::default();
    assert!(note(&keys, &address(1), None, at(0)));
    assert!(note(&keys, &address(2), None, at(300)));
    assert_eq!(keys.top(9, at(599)).len(), 2);
    assert_eq!(keys.top(9, at(600)).len(), 1);
    assert!(note(&keys, &address(3), None, at(1_000)));
    assert_eq!(keys.slices.lock().unwrap().len(), 1);
    // The clock steps back.
    assert!(note(&keys, &address(3), None, at(10)));
    assert_eq!(keys.top(9, at(1_000))[0].count, 2);
}

/// A million keys, and one with a twentieth of all refusals, over ten minutes.
#[test]
fn a_frequent_key_is_found_among_a_million() {
    let keys = RefusedKeys::default();
    let (frequent, others) = (address(u32::MAX), 1_000_000);
    let mut own = 0;
    for n in 0..others {
        let now = at(u64::from(n) * 600 / u64::from(others));
        assert!(note(&keys, &address(n), None, now));
        if n % 19 == 0 {
            own += 1;
            assert!(note(&keys, &frequent, None, now));
        }
    }
    let top = keys.top(1, at(599));
    assert_eq!(top[0].key, frequent);
    assert!(top[0].count >= own && top[0].count - top[0].error <= own, "{own}: {:?}", top[0]);
    assert!(top[0].error < own / 10, "{own}: {:?}", top[0]);
    assert!(size_of_slices(&keys) < 1_000_000);
}

/// The bytes of all slices, with the keys, which are short, in place.
fn size_of_slices(keys: &RefusedKeys) -> usize {
    let slices = keys.slices.lock().unwrap();
    assert_eq!(slices.len(), SLICES);
    slices.iter().map(|slice| slice.summary.size()).sum()
}

#[test]
fn whoever_finds_it_locked_does_not_wait() {
    let keys = RefusedKeys::default();
    let lock = keys.slices.lock().unwrap();
    assert!(!note(&keys, &address(1), None, at(0)));
    drop(lock);
    assert!(note(&keys, &address(1), None, at(0)));
}
