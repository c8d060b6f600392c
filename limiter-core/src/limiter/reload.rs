//! Reload: the configuration is read again, and what may change of it is changed while
//! requests go on.
//!
//! A configuration is taken as a whole or refused as a whole: it is checked like one at
//! the start, and what cannot change while the limiter runs has to be as it was. See the
//! [guide](crate::guide::reload).

mod changes;
mod file_watch;
mod watcher;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

pub(crate) use self::changes::SettingTexts;
use self::watcher::Watcher;
use super::{Limiter, fallback::check_local, rules::Rules, settings::RuleSettings};
use crate::{
    Config,
    error::ConfigError,
    events::{Event, Observer},
    policy::{Mode, Policy},
    stats::ReloadStats,
    time::{Clock, SystemClock},
};

/// How a configuration is read again.
pub(crate) type ReadAgain = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// A demand of the application or of an adapter on each new configuration.
type ReloadCheck = Box<dyn Fn(&[Policy]) -> Result<(), String> + Send + Sync>;

/// The occasion on which a configuration is read again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum ReloadMode {
    /// Only [`Limiter::reload`] reads them again.
    #[default]
    Manual,
    /// A changed content is taken within two seconds.
    Watch,
}

crate::name::words!(ReloadMode: "manual" => Self::Manual, "watch" => Self::Watch);

/// The changes of a reload.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// One line a key, without secrets; empty if the configuration is the one in force.
    pub changes: Vec<String>,
}

/// The configuration in force, and how it is read again.
pub(super) struct Reloading {
    read_again: Option<ReadAgain>,
    /// The policies that the application has [required](Config::require).
    required: Vec<String>,
    /// False if the limiter was started with the mode `off`, so that it has no store.
    has_store: bool,
    checks: Mutex<Vec<ReloadCheck>>,
    state: Mutex<State>,
    watcher: Mutex<Option<Watcher>>,
}

#[derive(Debug, Default)]
struct State {
    texts: SettingTexts,
    /// The files that the last configuration was read from, taken or not.
    files: Vec<PathBuf>,
    stats: ReloadStats,
}

impl Reloading {
    pub(super) fn new(config: Option<&Config>, has_store: bool) -> Self {
        let state = config.map(|config| State {
            texts: config.texts.clone(),
            files: config.files.clone(),
            stats: ReloadStats::default(),
        });
        Self {
            read_again: config.and_then(|config| config.read_again.clone()),
            required: config.map(|config| config.required.clone()).unwrap_or_default(),
            has_store,
            checks: Mutex::default(),
            state: Mutex::new(state.unwrap_or_default()),
            watcher: Mutex::default(),
        }
    }

    pub(super) fn stats(&self) -> ReloadStats {
        self.state().stats.clone()
    }

    /// The state is whole after each change, so a poisoned lock is taken all the same.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Limiter {
    /// Reads the configuration again, from where it was read at the start, and puts it into
    /// force as a whole. Requests under way are decided by the rules by which they were
    /// counted first.
    ///
    /// It reads files and so may block for a moment. Afterwards
    /// [`PolicySet::current`](super::PolicySet::current) returns sets of the new rules, and
    /// adapters use them. With `reload = "watch"` in the configuration nobody has to call it.
    ///
    /// # Errors
    /// If the configuration is wrong, changes what cannot change while the limiter runs, or
    /// leaves out a policy that is in use; or if the limiter was built in code. Nothing has
    /// changed then, and an [`Event::ReloadRefused`] says why.
    pub fn reload(&self) -> Result<Reloaded, ConfigError> {
        self.report(self.read_again().and_then(|config| self.apply(config)))
    }

    /// Puts another configuration into force, as [`reload`](Self::reload) does: one that the
    /// application has from elsewhere.
    ///
    /// ```
    /// use limiter_core::{Config, Key, Limiter};
    ///
    /// # futures_executor::block_on(async {
    /// let config = |quota| Config::from_toml(&format!("[policies.api]\nquota = \"{quota}\""));
    /// let limiter = Limiter::from_config(config("5/hour")?).await?;
    /// let api = limiter.policy("api")?;
    /// let client = api.subjects_of(&Key::user("alice"));
    /// assert!(api.current().check(&client, 5).await?.is_allowed());
    ///
    /// let reloaded = limiter.reload_with(config("7/hour")?)?;
    /// assert_eq!(reloaded.changes, ["policies.api.quota: \"5/hour\" -> \"7/hour\""]);
    /// // What was used is kept.
    /// let decision = api.current().check(&client, 1).await?;
    /// assert_eq!(decision.quotas()[0].remaining(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn reload_with(&self, config: Config) -> Result<Reloaded, ConfigError> {
        self.report(self.apply(config))
    }

    /// Adds a demand on each new configuration: a reload is refused with the message that
    /// `check` returns for its policies. Adapters add theirs, such as that a policy before
    /// routing does not count by endpoint.
    pub fn check_reloads(
        &self,
        check: impl Fn(&[Policy]) -> Result<(), String> + Send + Sync + 'static,
    ) {
        let mut checks = self.0.reloading.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.push(Box::new(check));
    }

    fn read_again(&self) -> Result<Config, ConfigError> {
        match &self.0.reloading.read_again {
            Some(read_again) => read_again(),
            None => Err(ConfigError::new(
                "the configuration was not read from a file that could be read again; use \
                 Config::load, Config::with_read_again, or Limiter::reload_with",
            )),
        }
    }

    fn apply(&self, mut config: Config) -> Result<Reloaded, ConfigError> {
        config.read_list_files()?;
        let reloading = &self.0.reloading;
        // Held to the end, so that two reloads follow each other.
        let mut state = reloading.state();
        state.files.clone_from(&config.files);
        if config.rules.policies.is_empty() && !self.rules().policies.is_empty() {
            let message = "there is none any more: the file is empty, or only a part of it was \
                           written; to limit nothing, write mode = \"off\"";
            return Err(ConfigError::at("policies", message));
        }
        let changes = state.texts.changes_to(&config.texts)?;
        let config = config.require(reloading.required.iter().map(String::as_str))?;
        let share = config.caps.local_share;
        let rules = self.checked_rules(self.0.code.over(config.rules))?;
        if changes.is_empty() {
            return Ok(Reloaded::default());
        }
        let longest = rules.policies.values().map(Policy::remembered_for).max();
        self.0.rules.replace(rules)?;
        self.0.plans.clear();
        self.0.fallback.rules_changed(share, longest.unwrap_or_default());
        #[cfg(feature = "_shared")]
        self.0.end_slices();
        state.texts = config.texts;
        Ok(Reloaded { changes })
    }

    fn checked_rules(&self, settings: RuleSettings) -> Result<Rules, ConfigError> {
        let old = self.rules();
        if settings.mode != Mode::Off && !self.0.reloading.has_store {
            let message = "was \"off\" at the start, so that no store was connected; restart";
            return Err(ConfigError::at("mode", message));
        }
        let rules = settings.rules()?.with_unchanged(&old);
        check_local(rules.policies.values())?;
        let policies: Vec<Policy> = rules.policies.values().cloned().collect();
        let checks = self.0.reloading.checks.lock().unwrap_or_else(PoisonError::into_inner);
        for check in &*checks {
            check(&policies).map_err(ConfigError::new)?;
        }
        Ok(rules)
    }

    /// Counts a reload, and sends its event if it is news: not of a configuration that is
    /// in force already, nor of the same refusal again.
    fn report(&self, result: Result<Reloaded, ConfigError>) -> Result<Reloaded, ConfigError> {
        let event = self.0.reloading.state().stats.note(&result);
        if let Some(event) = event {
            self.0.observers.observe(&event);
        }
        result
    }
}

impl ReloadStats {
    /// Returns the event, if it is news.
    fn note(&mut self, result: &Result<Reloaded, ConfigError>) -> Option<Event> {
        match result {
            Ok(reloaded) => {
                let was_refused = self.refusal.take().is_some();
                self.refused_since = None;
                let is_news = was_refused || !reloaded.changes.is_empty();
                self.applied += u64::from(is_news);
                is_news.then(|| Event::Reloaded { changes: reloaded.changes.clone() })
            }
            Err(error) => {
                let reason = error.to_string();
                if self.refusal.as_ref() == Some(&reason) {
                    return None;
                }
                self.refused += 1;
                self.refused_since.get_or_insert_with(|| SystemClock.now());
                self.refusal = Some(reason.clone());
                Some(Event::ReloadRefused { reason })
            }
        }
    }
}
