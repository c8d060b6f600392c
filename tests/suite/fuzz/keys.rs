//! Keys: whatever a client sends, it never counts as another.

use limiter_core::{Key, KeySpec, Limiter, Policy, Quota};
use proptest::{collection::vec, prelude::*};

use super::{KEYS, block_on, config, pieces, text};
use crate::test_request::{Facts, from};

proptest! {
    #![proptest_config(config())]

    /// Each list of parts is a key of its own.
    #[test]
    fn parts_never_make_another_key(one in vec(part(), 1..4), other in vec(part(), 1..4)) {
        let key = |parts: &[Part]| parts.iter().map(Part::key).reduce(Key::and).unwrap();
        prop_assert_eq!(key(&one) == key(&other), one == other);
    }

    /// No client can send headers that make it count as another.
    #[test]
    fn no_header_makes_a_client_another(
        mine in vec(("[a-z]{1,3}", pieces(KEYS)), 0..3),
        theirs in vec(("[a-z]{1,3}", pieces(KEYS)), 0..3),
        by_user in any::<bool>(),
    ) {
        let request = |peer: &str, user: &str, values: &[(String, Vec<u8>)]| {
            let facts = if by_user { from(peer).user(user) } else { from(peer) };
            values.iter().zip(["x-a", "x-b", "x-forwarded-for"]).fold(facts, |facts, ((_, value), name)| {
                facts.with(name, value)
            })
        };
        let parts = if by_user { ["user", "header:x-a", "header:x-b"] } else { ["ip", "header:x-a", "header:x-b"] };
        let key = |facts: &Facts| {
            let policy = Policy::new("api", Quota::per_hour(1).unwrap()).unwrap();
            let policy = policy.with_key(KeySpec::parse(parts).unwrap()).unwrap();
            let limiter = block_on(Limiter::builder().policy(policy).build()).unwrap();
            let api = limiter.policy("api").unwrap();
            let subjects = api.resolve_subjects(facts, None).unwrap().unwrap();
            [subjects[0].key.clone(), subjects[1].key.clone()]
        };
        let (mine, theirs) = (request("192.0.2.1", "alice", &mine), request("192.0.2.2", "bob", &theirs));
        let ([mine, my_address], [theirs, their_address]) = (key(&mine), key(&theirs));
        prop_assert_ne!(mine, theirs);
        prop_assert_ne!(my_address, their_address);
    }
}

/// One part of a key, as an application or a request makes it.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    User(String),
    Header(bool, Vec<u8>),
    Custom(bool, String),
    Global,
}

impl Part {
    fn key(&self) -> Key {
        let name = |other: bool| if other { "x" } else { "xy" };
        match self {
            Self::User(user) => Key::user(user),
            Self::Header(other, value) => Key::header(name(*other), value),
            Self::Custom(other, value) => Key::custom(name(*other), value),
            Self::Global => Key::global(),
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        text(KEYS).prop_map(Part::User),
        (any::<bool>(), pieces(KEYS)).prop_map(|(name, value)| Part::Header(name, value)),
        (any::<bool>(), text(KEYS)).prop_map(|(name, value)| Part::Custom(name, value)),
        Just(Part::Global),
    ]
}
