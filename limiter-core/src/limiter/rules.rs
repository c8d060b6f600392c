//! The rules of a limiter: its policies, and how clients are found. A reload replaces
//! them as a whole while requests go on.
//!
//! A [`PolicySet`](super::PolicySet) has the rules that it was made from, so that a
//! request is decided by one state of them. It compares one number to learn that they
//! are not the newest any more: a relaxed load, where an `ArcSwap` would take 12 ns and
//! a lock would be shared by all threads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

#[cfg(feature = "config")]
use crate::error::ConfigError;
use crate::{error::UnknownPolicy, policy::Policy, subject_resolver::SubjectResolver};

/// How long after a reload a request goes on by the rules by which it was first
/// counted. What takes longer, such as a WebSocket, goes on by the new ones.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// The policies of one configuration, and how it finds clients.
#[derive(Debug)]
pub(super) struct Rules {
    generation: u64,
    pub(super) policies: BTreeMap<String, Policy>,
    /// Policies that count beside others: addresses, reserved strikes, and preflights of
    /// all, by their own names.
    pub(super) companions: BTreeMap<String, Policy>,
    pub(super) identity: SubjectResolver,
    replaced_at: OnceLock<Instant>,
}

impl Rules {
    pub(super) fn new(policies: Vec<Policy>, identity: SubjectResolver) -> Self {
        Self {
            generation: 0,
            companions: by_name(policies.iter().flat_map(companions)),
            policies: by_name(policies),
            identity,
            replaced_at: OnceLock::new(),
        }
    }

    /// Returns the rules with each policy that another's equals replaced by that one, so
    /// that what is cached for it stays.
    #[cfg(feature = "config")]
    pub(super) fn with_unchanged(mut self, other: &Self) -> Self {
        let maps =
            [(&mut self.policies, &other.policies), (&mut self.companions, &other.companions)];
        for (own, others) in maps {
            for (name, policy) in own {
                if let Some(other) = others.get(name).filter(|other| other.is_equal(policy)) {
                    *policy = other.clone();
                }
            }
        }
        if self.identity.client_ip.to_string() == other.identity.client_ip.to_string() {
            // What was warned of is not warned of again.
            self.identity.proxy_warning = Arc::clone(&other.identity.proxy_warning);
        }
        self
    }

    /// Returns the policy of that name.
    pub(super) fn find(&self, name: &str) -> Result<&Policy, UnknownPolicy> {
        self.policies.get(name).ok_or_else(|| self.unknown(name))
    }

    /// Returns the policy or companion of that name.
    pub(super) fn find_by_hand(&self, name: &str) -> Result<&Policy, UnknownPolicy> {
        self.companions.get(name).map_or_else(|| self.find(name), Ok)
    }

    /// Returns all policies, each followed by its companions.
    pub(super) fn find_all<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Policy>, UnknownPolicy> {
        let mut policies: Vec<Policy> = Vec::new();
        for name in names {
            let policy = self.find(name)?;
            if policies.iter().all(|known| known.name() != name) {
                policies.push(policy.clone());
                for companion in policy.companions() {
                    // Policies of a group reserve the same strikes.
                    if policies.iter().all(|known| known.name() != companion.name()) {
                        policies.push(companion);
                    }
                }
            }
        }
        if policies.is_empty() { Err(self.unknown("")) } else { Ok(policies) }
    }

    /// Returns true as long as a request that these rules have counted goes on by them.
    pub(super) fn hold_for_requests(&self) -> bool {
        self.replaced_at.get().is_none_or(|replaced_at| replaced_at.elapsed() < REQUEST_TIME)
    }

    fn unknown(&self, name: &str) -> UnknownPolicy {
        UnknownPolicy { name: name.to_owned(), known: self.policies.keys().cloned().collect() }
    }
}

fn by_name(policies: impl IntoIterator<Item = Policy>) -> BTreeMap<String, Policy> {
    let mut by_name = BTreeMap::new();
    // `collect` would sort first, by 8 KB of code for a few policies.
    for policy in policies {
        by_name.insert(policy.name().to_owned(), policy);
    }
    by_name
}

/// The policies that count beside a policy: addresses, reserved strikes, and preflights of
/// all.
fn companions(policy: &Policy) -> Vec<Policy> {
    let companions = policy.companions();
    let preflights = companions.iter().chain([policy]).map(Policy::for_preflights);
    preflights.chain(companions.iter().cloned()).collect()
}

/// The rules in force, and which of their policies the application uses.
#[derive(Debug)]
pub(super) struct CurrentRules {
    /// The generation of the rules in force.
    generation: AtomicU64,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    rules: Arc<Rules>,
    /// The names that the application has looked up. They come from its code, and no
    /// reload removes them.
    in_use: BTreeSet<String>,
}

impl CurrentRules {
    pub(super) fn new(rules: Rules) -> Self {
        let current = Current { rules: Arc::new(rules), in_use: BTreeSet::new() };
        Self { generation: AtomicU64::new(0), current: RwLock::new(current) }
    }

    pub(super) fn get(&self) -> Arc<Rules> {
        Arc::clone(&self.read().rules)
    }

    #[inline]
    pub(super) fn are(&self, rules: &Rules) -> bool {
        self.generation.load(Ordering::Relaxed) == rules.generation
    }

    /// Returns the rules in force, and notes that the application uses those policies.
    ///
    /// # Errors
    /// If one is unknown.
    pub(super) fn get_for<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<Arc<Rules>, UnknownPolicy> {
        let current = self.read();
        for name in names.clone() {
            current.rules.find(name)?;
        }
        if names.clone().into_iter().all(|name| current.in_use.contains(name)) {
            return Ok(Arc::clone(&current.rules));
        }
        drop(current);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            current.rules.find(name)?;
            current.in_use.insert(name.to_owned());
        }
        Ok(Arc::clone(&current.rules))
    }

    /// Puts other rules into force.
    ///
    /// # Errors
    /// If a policy that is in use is not among them.
    #[cfg(feature = "config")]
    pub(super) fn replace(&self, mut rules: Rules) -> Result<(), ConfigError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = current.in_use.iter().find(|name| !rules.policies.contains_key(*name)) {
            let message = "is missing, and the application uses it; leave it there, with \
                           mode = \"off\" if it is to do nothing";
            return Err(ConfigError::at(name, message).within("policies"));
        }
        rules.generation = current.rules.generation + 1;
        let _ = current.rules.replaced_at.set(Instant::now());
        self.generation.store(rules.generation, Ordering::Relaxed);
        current.rules = Arc::new(rules);
        Ok(())
    }

    /// Whoever has changed the rules has left them whole, so a poisoned lock is taken all
    /// the same.
    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}
