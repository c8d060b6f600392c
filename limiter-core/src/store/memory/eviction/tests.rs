use crate::{
    check::{Check, Item, Subject},
    key::Key,
    policy::Policy,
    quota::Quota,
    store::{MemoryStore, memory::table::Bucket},
};

/// Checks a key, which is admitted.
fn ask(store: &MemoryStore, policy: &Policy, key: usize) {
    let subjects = [Subject::new(Key::custom("n", &key.to_string()))];
    let check = Check::new(std::slice::from_ref(policy), &subjects, 1);
    assert!(store.decide_at_once(&check).unwrap().is_allowed());
}

/// Returns true if a key has a slot, and true if that is in its first line.
fn find(store: &MemoryStore, policy: &Policy, key: usize) -> (bool, bool) {
    let subject = Subject::new(Key::custom("n", &key.to_string()));
    let (item, counter) = (Item { policy, subject: &subject }, &policy.counters().quotas[0]);
    let Ok(found) = store.0.find_slot(item, counter) else { return (false, false) };
    let bucket = found.of_key.of(counter.spec.namespace, &store.0.table).bucket;
    let first = Bucket::first_line_numbers(found.tag);
    let line = &store.0.table.bucket(bucket).all_slots()[first];
    (true, line.as_ptr_range().contains(&std::ptr::from_ref(found.slot)))
}

#[test]
fn a_newcomer_to_a_store_that_has_aged_is_in_its_first_line_mostly() {
    let policy = Policy::new("api", Quota::per_second(1_000_000).unwrap()).unwrap();
    let store = MemoryStore::builder().max_keys(256).build();
    let mut behind = 0;
    for n in 0..3_000 {
        ask(&store, &policy, n);
        behind += u32::from(!find(&store, &policy, n).1);
    }
    // Not three quarters of them.
    assert!(behind < 1_200, "{behind}");
}

/// Though their usage has expired, and though their lines have less room than the bucket.
#[test]
fn keys_that_come_back_do_not_displace_one_another() {
    let policy = Policy::new("api", Quota::per_second(1_000_000).unwrap()).unwrap();
    let store = MemoryStore::builder().max_keys(16).build();
    (0..100).for_each(|n| ask(&store, &policy, n));
    let those = 1_000..1_012;
    let mut missing = 0;
    for _ in 0..50 {
        for n in those.clone() {
            missing += u32::from(!find(&store, &policy, n).0);
            ask(&store, &policy, n);
        }
    }
    // Each once, and a few more where this thread was held up between two of them.
    assert!(missing < 40, "{missing}");
}

/// In a full bucket, whether or not its newcomer counts anew which lines have overflowed.
#[test]
fn a_newcomer_is_found_in_whichever_line_it_is() {
    let policy = Policy::new("api", Quota::per_hour(1_000).unwrap()).unwrap();
    let store = MemoryStore::builder().max_keys(16).build();
    for n in 0..4_000 {
        ask(&store, &policy, n);
        assert!(find(&store, &policy, n).0, "{n}");
    }
}
