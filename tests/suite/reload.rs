//! A configuration that changes while the limiter runs.

mod frameworks;
mod lists;
mod load;
mod rules;
mod watched;
mod writing;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use limiter_core::{Config, Event, Limiter, LimiterBuilder};

/// How long a settled content may take to be in force, and the time that a busy machine
/// is given in the short form.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a content that stays the same is looked at before it is taken, or refused.
const SETTLED: Duration = Duration::from_millis(350);

async fn limiter(toml: &str) -> Limiter {
    Limiter::from_config(Config::from_toml(toml).unwrap()).await.unwrap()
}

fn reload(limiter: &Limiter, toml: &str) -> Result<Vec<String>, String> {
    let config = Config::from_toml(toml).map_err(|error| error.to_string())?;
    let reloaded = limiter.reload_with(config).map_err(|error| error.to_string())?;
    Ok(reloaded.changes)
}

/// Events of reloads, each as a line.
#[derive(Clone, Default)]
struct Reloads(Arc<Mutex<Vec<String>>>);

impl Reloads {
    fn observing(&self, builder: LimiterBuilder) -> LimiterBuilder {
        let reloads = self.clone();
        builder.observer(move |event: &Event| reloads.note(event))
    }

    fn note(&self, event: &Event) {
        let line = match event {
            Event::Reloaded { changes } => changes.join(", "),
            Event::ReloadRefused { reason } => format!("refused: {reason}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }

    /// Fails if there is another one.
    fn assert_no_more(&self) {
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(*self.0.lock().unwrap(), [""; 0]);
    }

    /// Waits for the next one after a change that took so long. If the machine stood still in
    /// the middle of it, what was there until then may be refused before.
    fn wait_after(&self, change: Duration) -> String {
        loop {
            let event = self.wait();
            if change < SETTLED || !event.starts_with("refused") {
                return event;
            }
        }
    }

    /// Waits for the next one.
    fn wait(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            {
                let mut lines = self.0.lock().unwrap();
                if !lines.is_empty() {
                    return lines.remove(0);
                }
            }
            assert!(Instant::now() < deadline, "nothing was reloaded");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A folder that is removed with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(crate::databases::unique("limiter-reload"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind it harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
