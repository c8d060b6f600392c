use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 / MINUTE * MINUTE + seconds * 1_000_000)
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
    assert!(keys.ended.lock().unwrap().is_empty());
    // The clock steps back.
    assert!(note(&keys, &address(3), None, at(10)));
    assert_eq!(keys.top(9, at(1_000))[0].count, 2);
}

/// 30,000 keys, and one with a twentieth of all refusals, over ten minutes, by one thread
/// and by ten: too few a minute for samples.
#[test]
fn a_frequent_key_is_found_among_many() {
    for threads in [1, 10] {
        let (keys, others) = (RefusedKeys::default(), 30_000);
        let (frequent, own) = (address(u32::MAX), AtomicU64::new(0));
        let noted = AtomicU64::new(0);
        // Each thread is there until the last one begins, so that none has the shard of
        // another that has ended.
        let all_there = Barrier::new(threads as usize);
        thread::scope(|scope| {
            for thread in 0..threads {
                let (keys, frequent, own, noted) = (&keys, &frequent, &own, &noted);
                let all_there = &all_there;
                scope.spawn(move || {
                    all_there.wait();
                    for n in (thread..others).step_by(threads as usize) {
                        let now = at(u64::from(n) * 600 / u64::from(others));
                        let is_noted = note(keys, &address(n), None, now);
                        noted.fetch_add(is_noted.into(), Ordering::Relaxed);
                        if n % 19 == 0 && note(keys, frequent, None, now) {
                            own.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let (own, noted) = (own.into_inner(), noted.into_inner());
        assert!(noted > 15_000, "{noted}");
        let top = keys.top(1, at(599));
        assert_eq!(top[0].key, frequent);
        assert!(top[0].count >= own && top[0].count - top[0].error <= own, "{own}: {:?}", top[0]);
        assert!(top[0].error <= noted.div_ceil(256) + own.div_ceil(256), "{own}: {:?}", top[0]);
        assert!(size(&keys) < 1_000_000);
    }
}

/// A million refusals in a minute, half of them of eight clients that take turns, and then
/// few in the next.
#[test]
fn a_flood_is_sampled_until_its_minute_ends() {
    let (keys, rounds) = (RefusedKeys::default(), 62_500_u32);
    for round in 0..rounds {
        for n in 0..8 {
            assert!(note(&keys, &address(n), None, at(30)));
            assert!(note(&keys, &address(1_000 + round * 8 + n), None, at(30)));
        }
    }
    let noted = |shard: &Shard| shard.present.lock().unwrap().as_ref().map_or(0, |one| one.noted);
    let noted: u32 = keys.shards.iter().map(noted).sum();
    assert!((120_000..140_000).contains(&noted), "{noted} of a million");
    let own = f64::from(rounds);
    let deviation = (own * (WEIGHT - 1) as f64).sqrt();
    let top = keys.top(9, at(30));
    for refused in &top[..8] {
        let least = (refused.count - refused.error) as f64;
        assert!(least <= own + 5.0 * deviation, "{refused:?}");
        assert!(refused.count as f64 >= own - 5.0 * deviation, "{refused:?}");
        assert!(refused.error <= 1_000_000 / 256 * 11 / 10, "{refused:?}");
    }
    assert!(top[8].count - top[8].error < 1_000, "{:?}", top[8]);
    for _ in 0..1_002 {
        assert!(note(&keys, &address(9), None, at(60)));
    }
    let refused = keys.top(9, at(640)).into_iter().next().unwrap();
    assert_eq!((refused.count, refused.error), (1_002, 0));
}

/// The bytes of all minutes, with the keys, which are short, in place.
fn size(keys: &RefusedKeys) -> usize {
    let ended = keys.ended.lock().unwrap();
    assert_eq!(ended.len() as u64, MINUTES - 1);
    let present = keys.shards.iter().map(|shard| {
        let minute = shard.present.lock().unwrap();
        minute.as_ref().map_or(0, |minute| minute.summary.size())
    });
    let entries: usize = ended.iter().map(|minute| minute.counts.entries.capacity()).sum();
    present.sum::<usize>() + entries * size_of::<counts::Entry>()
}

/// Shards of 300 keys each, of which 212 are in both.
#[test]
fn merged_counts_are_bounds() {
    let [mut one, mut other] = [Summary::default(), Summary::default()];
    let mut own = [0; 388];
    for n in 0..200_000_u32 {
        // The lower the number, the more frequent.
        let place = n.wrapping_mul(0x9e37_79b9) >> 16;
        let key = (place * place / (1 << 16)) as usize * 300 / (1 << 16);
        let (summary, key) = if n % 3 == 0 { (&mut one, key) } else { (&mut other, 387 - key) };
        own[key] += 1;
        let key = address(key as u32);
        let (digest, now) = (key.keyed_hash(), at(0));
        summary.note(NotedRefusal { digest, key: &key, quota: None, now, weight: 1 });
    }
    let counts = Counts::merged([&one.counts(), &other.counts()]).cut();
    assert_eq!(counts.entries.len(), 256);
    assert!(counts.floor <= 200_000 / 256, "{}", counts.floor);
    let keys = counts.entries.iter().map(|entry| &entry.refused);
    for (key, own) in (0..).map(address).zip(own) {
        match keys.clone().find(|refused| refused.key == key) {
            Some(kept) => assert!(kept.count >= own && kept.count - kept.error <= own, "{kept:?}"),
            None => assert!(own <= counts.floor, "{own}"),
        }
    }
}

#[test]
fn whoever_finds_it_locked_does_not_wait() {
    let keys = RefusedKeys::default();
    let locks = keys.shards.each_ref().map(|shard| shard.present.lock().unwrap());
    assert!(!note(&keys, &address(1), None, at(0)));
    drop(locks);
    assert!(note(&keys, &address(1), None, at(0)));
}
