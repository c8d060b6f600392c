//! Nodes in virtual time: limiters that share one store, in memory, which counts its calls.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_executor::block_on;

use crate::{
    AdmitOptions, Answer, Ban, BanChange, BanPage, Check, Decision, Item, Key, Limiter,
    ManualClock, MemoryStore, Permit, Policy, PolicySet, RequestInfo, ServerHealth, Store,
    StoreError, Timestamp,
    settlement::{Settled, SettledItem},
};

/// When virtual time begins: within a window of any length.
pub(super) const START: Timestamp = Timestamp::from_micros(1_000_000_123_456);

/// How often nodes look for slices that have ended, in microseconds.
pub(super) const SWEEP: u64 = 50_000;

#[derive(Clone, Debug)]
pub(super) struct SharedStore {
    memory: MemoryStore,
    calls: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
}

impl SharedStore {
    fn call<'a, T>(&'a self, call: impl FnOnce(&'a MemoryStore) -> Answer<'a, T>) -> Answer<'a, T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fails.load(Ordering::Relaxed) {
            true => Answer::ready(Err(StoreError::not_applied("switched off"))),
            false => call(&self.memory),
        }
    }
}

impl Store for SharedStore {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        self.call(move |memory| memory.decide(check))
    }

    fn settle<'a>(&'a self, items: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>> {
        self.call(move |memory| memory.settle(items))
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        self.call(move |memory| memory.change_ban(item, change))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        self.call(move |memory| memory.reset(item))
    }

    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>> {
        self.call(move |memory| memory.ban(item))
    }

    fn bans<'a>(
        &'a self,
        policy: &'a Policy,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, BanPage> {
        self.memory.bans(policy, after, limit)
    }

    /// No circuit breaker in front: it keeps real time.
    fn health(&self) -> Option<Vec<ServerHealth>> {
        Some(Vec::new())
    }
}

fn clock_and_store() -> (ManualClock, SharedStore) {
    let clock = ManualClock::new(START);
    let memory = MemoryStore::builder().clock(clock.clone()).build();
    (clock, SharedStore { memory, calls: Arc::default(), fails: Arc::default() })
}

/// Nodes that share a store and a clock.
pub(super) struct Nodes {
    pub(super) clock: ManualClock,
    pub(super) limiters: Vec<Limiter>,
    sets: Vec<PolicySet>,
    store: SharedStore,
}

impl Nodes {
    pub(super) fn new(count: usize, policy: &Policy) -> Self {
        Self::of_policies(count, std::slice::from_ref(policy))
    }

    /// Nodes that decide all policies together.
    pub(super) fn of_policies(count: usize, policies: &[Policy]) -> Self {
        let (clock, store) = clock_and_store();
        let limiter = |_| {
            let builder = Limiter::builder().store(store.clone());
            let add =
                |builder: crate::LimiterBuilder, policy: &Policy| builder.policy(policy.clone());
            let mut builder = policies.iter().fold(builder, add);
            builder.clock = Some(Arc::new(clock.clone()));
            block_on(builder.build()).unwrap()
        };
        let limiters: Vec<Limiter> = (0..count).map(limiter).collect();
        let set = |limiter: &Limiter| limiter.policies(policies.iter().map(Policy::name)).unwrap();
        let sets = limiters.iter().map(set).collect();
        Self { clock, limiters, sets, store }
    }

    /// A node of a configuration.
    #[cfg(feature = "config")]
    pub(super) fn of_config(config: crate::Config) -> Self {
        let (clock, store) = clock_and_store();
        let mut builder = crate::LimiterBuilder::from_config(config).store(store.clone());
        builder.clock = Some(Arc::new(clock.clone()));
        let limiter = block_on(builder.build()).unwrap();
        let sets = vec![limiter.policy("api").unwrap()];
        Self { clock, limiters: vec![limiter], sets, store }
    }

    /// Sends a request of the tenant to a node.
    pub(super) fn check(&self, node: usize, cost: u64) -> Decision {
        self.check_of(node, &Key::user("tenant"), cost)
    }

    pub(super) fn check_of(&self, node: usize, key: &Key, cost: u64) -> Decision {
        let set = self.sets[node].current();
        block_on(set.check(&set.subjects_of(key), cost)).unwrap()
    }

    /// Sends `count` requests of the tenant to a node, one every `every` microseconds. Returns how
    /// many were admitted.
    pub(super) fn check_often(&self, node: usize, count: u64, every: u64) -> u64 {
        let checks = (0..count).map(|_| {
            self.pass(every);
            u64::from(self.check(node, 1).is_allowed())
        });
        checks.sum()
    }

    /// Sends a request of the tenant, and returns its permit.
    pub(super) fn admit(&self, node: usize) -> Permit {
        let options = AdmitOptions::default().with_key(Some(Key::user("tenant")));
        let admission = block_on(self.sets[node].admit(&Request, options)).unwrap();
        admission.permit().unwrap().clone()
    }

    /// Drops the last node.
    pub(super) fn drop_last(&mut self) {
        self.sets.pop();
        self.limiters.pop();
    }

    pub(super) fn pass(&self, micros: u64) {
        self.clock.set(Timestamp::from_micros(self.now() + micros));
    }

    pub(super) fn now(&self) -> u64 {
        crate::Clock::now(&self.clock).as_micros()
    }

    /// Has a node give back what slices that have ended have left.
    pub(super) fn sweep(&self, node: usize) {
        self.limiters[node].0.end_old_slices();
    }

    /// Units that the store has left for the tenant.
    pub(super) fn remaining(&self) -> u64 {
        let set = self.sets[0].current();
        let subjects = set.subjects_of(&Key::user("tenant"));
        let decision = block_on(self.store.memory.decide(Check::new(set.policies(), &subjects, 0)));
        decision.unwrap().tightest().unwrap().remaining()
    }

    pub(super) fn leased(&self, node: usize) -> u64 {
        self.limiters[node].stats().leased_admissions
    }

    pub(super) fn calls(&self) -> u64 {
        self.store.calls.load(Ordering::Relaxed)
    }

    pub(super) fn set_failing(&self, fails: bool) {
        self.store.fails.store(fails, Ordering::Relaxed);
    }
}

struct Request;

impl RequestInfo for Request {
    fn method(&self) -> &str {
        "GET"
    }

    fn peer_address(&self) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, 1]))
    }

    fn header_lines(&self, _: &str) -> Vec<&[u8]> {
        Vec::new()
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn endpoint(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// A count of the same requests, exact and for itself.
pub(super) struct Meter {
    clock: ManualClock,
    set: PolicySet,
}

impl Meter {
    pub(super) fn new(policy: &Policy) -> Self {
        let clock = ManualClock::new(START);
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let limiter = Limiter::builder().store(store).policy(policy.clone());
        let set = block_on(limiter.build()).unwrap().policy(policy.name()).unwrap();
        Self { clock, set }
    }

    /// Returns true if an exact count admits the request at that instant.
    pub(super) fn admits(&self, at: u64, cost: u64) -> bool {
        self.clock.set(Timestamp::from_micros(at));
        let tenant = self.set.subjects_of(&Key::user("tenant"));
        block_on(self.set.check(&tenant, cost)).unwrap().is_allowed()
    }
}

/// Random numbers, the same in each run (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}
