//! What a person sees of `adtally dev`, and the file by which other programs join in.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use adtally_service::redact;

use super::DevArgs;

/// The facts of a running environment: URLs and process ids.
#[derive(Debug, Clone)]
pub(super) struct Board {
    data_dir: Arc<Path>,
    facts: Arc<Mutex<Facts>>,
}

#[derive(Debug, Default)]
struct Facts {
    values: BTreeMap<String, String>,
    /// The file is there: everything was ready once.
    published: bool,
}

impl Board {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.into(),
            facts: Arc::default(),
        }
    }

    /// Notes a fact. Call [`Self::publish`] or [`Self::update`] once all facts of a change are
    /// noted.
    pub(super) fn set(&self, name: &str, value: impl Into<String>) {
        self.facts().values.insert(name.to_owned(), value.into());
    }

    /// Writes `<data-dir>/env` for the first time: everything it names is ready.
    ///
    /// # Errors
    /// When the data directory cannot be written to.
    pub(super) fn publish(&self) -> io::Result<()> {
        let mut facts = self.facts();
        self.write_env(&facts)?;
        facts.published = true;
        Ok(())
    }

    /// Writes `<data-dir>/env` again, if it was published.
    ///
    /// # Errors
    /// When the data directory cannot be written to.
    pub(super) fn update(&self) -> io::Result<()> {
        // Held to the end: two writers would share the new file.
        let facts = self.facts();
        if facts.published {
            self.write_env(&facts)?;
        }
        Ok(())
    }

    /// Replaces the file atomically: whoever reads it sees a whole one.
    fn write_env(&self, facts: &Facts) -> io::Result<()> {
        let mut text = String::new();
        for (name, value) in &facts.values {
            text.push_str(&format!(
                "export {name}='{}'\n",
                value.replace('\'', r"'\''")
            ));
        }
        let new = self.data_dir.join("env.new");
        let mut file = private_file(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(new, self.env_file())
    }

    /// Removes the file: what it names is gone.
    pub(super) fn remove_env(&self) {
        // Missing when the start failed before the file was written.
        let _missing = std::fs::remove_file(self.env_file());
    }

    /// Prints one line.
    pub(super) fn say(&self, line: &str) {
        print(&format!("adtally dev: {line}\n"));
    }

    /// Prints the block with everything a person needs to start.
    pub(super) fn announce(&self, args: &DevArgs) {
        let facts = self.facts();
        let fact = |name: &str| {
            let value = facts.values.get(name);
            value.map_or("not started", String::as_str)
        };
        // The password of a server that was named is for those who named it to show.
        let shown = |name: &str, is_given: bool| {
            let value = fact(name);
            if is_given {
                redact(value)
            } else {
                value.to_owned()
            }
        };
        let database = shown("ADTALLY_DATABASE_URL", args.database.is_given());
        let broker = shown("ADTALLY_AMQP_URL", args.broker.is_given());
        let env = self.env_file();
        let mut lines = vec![String::new()];
        if !args.services_only {
            let api = fact("ADTALLY_API_URL");
            lines.push(format!("  API         {api}"));
            lines.push(format!("  API docs    {api}/api-docs/"));
            lines.push(format!("  health      {api}/readyz"));
        }
        lines.push(format!("  PostgreSQL  {database}"));
        lines.push(format!("  RabbitMQ    {broker}"));
        lines.push(format!(
            "  logs        {}",
            self.data_dir.join("log").display()
        ));
        lines.push(format!("  join in     . {}", env.display()));
        lines.push("  stop        Ctrl-C".to_owned());
        lines.push("\n".to_owned());
        print(&lines.join("\n"));
    }

    fn env_file(&self) -> PathBuf {
        self.data_dir.join("env")
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        // A panic elsewhere leaves the facts whole: each change is one insert.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file holds passwords.
fn private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody reads on when standard output is closed; the processes run all the same.
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_appears_whole_when_everything_is_ready_and_follows_every_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("env");
        let board = Board::new(dir.path());
        board.set("ADTALLY_API_PID", "7");
        board.update().unwrap();
        assert!(!file.exists(), "a process that is restarted too early");
        board.publish().unwrap();
        board.set("ADTALLY_API_PID", "it's 8");
        board.update().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "export ADTALLY_API_PID='it'\\''s 8'\n");
        board.remove_env();
        assert!(!file.exists());
    }
}
